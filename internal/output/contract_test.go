package output

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A subject is one output under the contract. All text it was given must come out
// of got, in order and once, whatever fault does to its writes.
type subject struct {
	open func(t *testing.T) Output
	got  func(t *testing.T) string // after Close
	// fault is asked before each write of n bytes how many of them may pass, and
	// what error comes then.
	fault func(o Output, ask func(n int) (int, error))
}

// A new output joins with one line.
var subjects = map[string]func(t *testing.T) subject{
	"file":           func(t *testing.T) subject { return fileSubject(t, Spec{}) },
	"file, rotating": func(t *testing.T) subject { return fileSubject(t, Spec{MaxSize: 40, Keep: 1000, Sync: true}) },
	"stdout, pipe":   func(t *testing.T) subject { return stdoutSubject(t, false) },
	"stdout, file":   func(t *testing.T) subject { return stdoutSubject(t, true) },
}

func fileSubject(t *testing.T, spec Spec) subject {
	path := filepath.Join(t.TempDir(), "sub", "out.log")
	spec.Name, spec.Type, spec.Path = "archive", "file", path
	var ledger memLedger
	return subject{
		open: func(t *testing.T) Output {
			o, err := Open(spec, Env{Note: ledger.Note, Log: quiet()})
			must(t, err)
			return o
		},
		got: func(t *testing.T) string { return generations(t, path) },
		fault: func(o Output, ask func(int) (int, error)) {
			o.(*file).disk.write = func(f *os.File, p []byte) (int, error) {
				n, err := ask(len(p))
				n, werr := f.Write(p[:n])
				return n, errors.Join(err, werr)
			}
		},
	}
}

// generations is path's whole content, oldest first.
func generations(t testing.TB, path string) string {
	all := ""
	if _, err := os.Stat(path); err == nil {
		all = content(t, path)
	}
	for n := 1; ; n++ {
		if _, err := os.Stat(generation(path, n)); err != nil {
			return all
		}
		all = content(t, generation(path, n)) + all
	}
}

func stdoutSubject(t *testing.T, regular bool) subject {
	var out *os.File
	var got func() string
	if regular {
		path := filepath.Join(t.TempDir(), "out")
		f, err := os.Create(path)
		must(t, err)
		out, got = f, func() string { return content(t, path) }
	} else {
		r, w, err := os.Pipe()
		must(t, err)
		read := make(chan string)
		go func() {
			all, _ := io.ReadAll(r)
			r.Close()
			read <- string(all)
		}()
		out, got = w, func() string { return <-read }
	}
	t.Cleanup(func() { out.Close() })
	return subject{
		open: func(t *testing.T) Output {
			o, err := Open(Spec{Name: "screen", Type: "stdout"}, Env{Stdout: &Stdout{File: out}, Log: quiet()})
			must(t, err)
			return o
		},
		got: func(*testing.T) string { out.Close(); return got() },
		fault: func(o Output, ask func(int) (int, error)) {
			s := o.(*stdout)
			put := s.put
			s.put = func(ctx context.Context, p []byte) (int, error) {
				n, err := ask(len(p))
				if n > 0 {
					n, _ = put(ctx, p[:n])
				}
				return n, err
			}
		},
	}
}

// deliver drives o as the pump does: a batch is tried until it is taken.
func deliver(t *testing.T, o Output, text string) {
	t.Helper()
	b := made("src", text)
	for tries := 0; ; tries++ {
		err := o.Write(bg, b)
		if err == nil {
			return
		}
		if tries > 100 {
			t.Fatal(err)
		}
		if tries%2 == 0 {
			_, err := o.Flush(bg)
			must(t, err)
		}
	}
}

func TestContract(t *testing.T) {
	faults := map[string]func() func(n int) (int, error){
		"order": func() func(int) (int, error) {
			return func(n int) (int, error) { return n, nil }
		},
		"refusals": func() func(int) (int, error) {
			i := 0
			return func(n int) (int, error) {
				if i++; i%3 != 0 {
					return 0, errFull
				}
				return n, nil
			}
		},
		"partial acceptance": func() func(int) (int, error) {
			i := 0
			return func(n int) (int, error) {
				if i++; i%4 != 0 && n > 1 {
					return n / 2, errFull
				}
				return n, nil
			}
		},
		"byte by byte": func() func(int) (int, error) {
			return func(n int) (int, error) {
				if n > 1 {
					return 1, errFull
				}
				return n, nil
			}
		},
	}
	for name, make := range subjects {
		for what, fault := range faults {
			t.Run(name+"/"+what, func(t *testing.T) {
				s := make(t)
				o := s.open(t)
				s.fault(o, fault())
				var want strings.Builder
				for i := range 12 {
					text := numbered("src", i*10, i%4) // an empty batch among them
					want.WriteString(text)
					deliver(t, o, text)
				}
				_, err := o.Flush(bg)
				must(t, err)
				must(t, o.Close())
				must(t, o.Close())
				if got := s.got(t); got != want.String() {
					t.Errorf("got %q\nwant %q", got, want.String())
				}
			})
		}
	}
}

func TestContractCancelled(t *testing.T) {
	for name, make := range subjects {
		t.Run(name, func(t *testing.T) {
			s := make(t)
			o := s.open(t)
			ctx, cancel := context.WithCancel(bg)
			cancel()
			b := made("src", "1\n2\n")
			if err := o.Write(ctx, b); !errors.Is(err, context.Canceled) {
				t.Error("a cancelled write gives", err)
			}
			must(t, o.Write(bg, b)) // and the output is not broken by it
			must(t, o.Close())
			if got := s.got(t); got != "1\n2\n" {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		spec Spec
		want string
	}{
		{Spec{Name: "a", Type: "kafke"}, `output a: unknown type "kafke": one of `},
		{Spec{Name: "a", Type: "file", Path: "/x/{sorce}"}, "unknown placeholder {sorce"},
		{Spec{Name: "a", Type: "file", Path: "/x/{source"}, "unknown placeholder {source"},
	} {
		if _, err := Open(c.spec, Env{Log: quiet()}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %s", c.spec, err, c.want)
		}
	}
	_, err := Open(Spec{Name: "a", Type: "file", Path: "/x"}, Env{Log: quiet(), Undo: []byte("{")})
	if err == nil {
		t.Error("a note that cannot be read was taken")
	}
}
