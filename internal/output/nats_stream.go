package output

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// Where questions about streams go.
const natsAPI = "$JS.API."

// infoToken ends the subject of the answer to a question about the stream.
const infoToken = "info"

func natsForbidden(err error) bool { return errors.Is(err, nats.ErrPermissionViolation) }

// isAPI says whether a complaint is about questions to JetStream.
func isAPI(err error) bool { return strings.Contains(err.Error(), natsAPI) }

// ask calls do, which asks about streams. A server that does not allow it gives no answer
// but complains: then the wait ends.
func (c *natsConn) ask(ctx context.Context, do func(context.Context, jetstream.JetStream) error) error {
	js, err := jetstream.New(c.nc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-c.denied:
			cancel(err)
		case <-ctx.Done():
		}
	}()
	err = do(ctx, js)
	if cause := context.Cause(ctx); err != nil && natsForbidden(cause) {
		return cause
	}
	return err
}

// prepare makes the stream if it is not there and we are told to. It is done once, and
// again when nothing takes our messages.
func (o *natsOutput) prepare(ctx context.Context, c *natsConn) error {
	if !o.spec.CreateStream || o.prepared {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, o.spec.Timeout)
	defer cancel()
	stop := context.AfterFunc(ctx, c.cut)
	defer stop()
	err := c.ask(ctx, func(ctx context.Context, js jetstream.JetStream) error {
		_, err := js.Stream(ctx, o.spec.Stream)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			_, err = js.CreateStream(ctx, o.streamConfig(c.nc.ConnectedServerVersion()))
		}
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another collector was faster
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("stream %s: %w", o.spec.Stream, natsCause(err))
	}
	o.prepared = true
	return nil
}

// streamConfig is the stream that we make: it keeps all it gets.
func (o *natsOutput) streamConfig(version string) jetstream.StreamConfig {
	var major, minor int
	_, _ = fmt.Sscanf(version, "%d.%d", &major, &minor) // of an unknown one: 0
	return jetstream.StreamConfig{
		Name: o.spec.Stream, Subjects: []string{natsWildcard(o.subject)}, Storage: jetstream.FileStorage,
		Duplicates: o.spec.DuplicateWindow, Description: "made by logcatchsys",
		AllowBatchPublish: major > 2 || major == 2 && minor >= 14,
	}
}

// natsCause says in words what the library has a short text for.
func natsCause(err error) error {
	switch {
	case natsForbidden(err):
		return fmt.Errorf("the user may not ask about streams: %w", err)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount),
		errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("JetStream is not enabled there: %w", err)
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("it is not there, and create_stream is false: %w", err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer from JetStream in time: %w", err)
	}
	return err
}

// askForSettings asks for the settings of the stream that has taken a message. The answer
// comes among the others, or never if we may not ask.
func (o *natsOutput) askForSettings(ack []byte) {
	var a struct{ Stream string }
	if err := json.Unmarshal(ack, &a); err != nil || a.Stream == "" {
		return
	}
	// An error is one of the connection, and will be met by who sends next.
	_ = o.conn.nc.PublishRequest(natsAPI+"STREAM.INFO."+a.Stream, o.conn.info, nil)
}

// heedSettings takes batches up where the stream allows them and all messages are for it,
// and warns about a stream that forgets ids earlier than we want.
func (o *natsOutput) heedSettings(answer []byte) {
	var a struct {
		Config struct {
			Name       string
			Duplicates time.Duration `json:"duplicate_window"`
			Batched    bool          `json:"allow_batched"`
			Replicas   int           `json:"num_replicas"`
		}
	}
	if err := json.Unmarshal(answer, &a); err != nil || a.Config.Name == "" {
		return
	}
	o.known = true
	o.batched, o.replicas = a.Config.Batched && o.spec.Stream != "", a.Config.Replicas
	if a.Config.Duplicates < o.spec.DuplicateWindow {
		o.env.Log.Warn(fmt.Sprintf("output %s: the stream %s knows ids for %s only (duplicate_window): what is sent again later than that is there twice; %s is wanted",
			o.spec.Name, a.Config.Name, a.Config.Duplicates, o.spec.DuplicateWindow))
	}
}

// probeNATS connects and asks for the streams that the samples' subjects belong to. Where
// nobody may ask, to be let in is all that can be tried.
func probeNATS(ctx context.Context, spec Spec, env Env, samples []*record.Batch) error {
	spec.DeadLetter = ""
	if spec.Timeout <= 0 {
		spec.Timeout = 10 * time.Second
	}
	out, err := openNATS(spec, env)
	if err != nil {
		return err
	}
	o := out.(*natsOutput)
	defer o.Close()
	o.prepared = true // a probe makes nothing
	if o.conn, err = o.connect(ctx); err != nil {
		return err
	}
	subjects := map[string]bool{}
	for _, b := range samples {
		subjects[o.subject.fill(b, env.Host, natsToken)] = true
	}
	ctx, cancel := context.WithTimeout(ctx, spec.Timeout)
	defer cancel()
	for _, subject := range slices.Sorted(maps.Keys(subjects)) {
		err := o.conn.ask(ctx, func(ctx context.Context, js jetstream.JetStream) error {
			return o.probeSubject(ctx, js, subject)
		})
		switch {
		case natsForbidden(err) && !o.spec.CreateStream:
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", o.conn.host, natsCause(err))
		}
	}
	return nil
}

// probeSubject asks which stream takes the subject.
func (o *natsOutput) probeSubject(ctx context.Context, js jetstream.JetStream, subject string) error {
	name, err := js.StreamNameBySubject(ctx, subject)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound) && o.spec.CreateStream:
		return o.probeCreate(ctx, js)
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("no stream takes the subject %s", subject)
	case err != nil:
		return err
	case o.spec.Stream != "" && name != o.spec.Stream:
		return fmt.Errorf("the subject %s belongs to the stream %s, not to %s", subject, name, o.spec.Stream)
	}
	return nil
}

// probeCreate is about a subject that no stream takes: the stream will be made, unless it
// is there and has other subjects.
func (o *natsOutput) probeCreate(ctx context.Context, js jetstream.JetStream) error {
	s, err := js.Stream(ctx, o.spec.Stream)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("the stream %s is there, and takes other subjects: %s", o.spec.Stream, strings.Join(s.CachedInfo().Config.Subjects, " "))
}
