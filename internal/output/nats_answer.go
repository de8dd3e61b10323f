package output

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// A natsVerdict is what an answer says of a message: taken (zero), to be sent again
// (err), or never to be taken (label and reason).
type natsVerdict struct {
	err           error
	label, reason string
}

// Numbers of JetStream's errors.
// https://github.com/nats-io/nats-server/blob/main/server/errors.json
const (
	natsTooLarge    = 10054 // "message size exceeds maximum allowed"
	natsOtherStream = 10060 // "expected stream does not match"
	natsNotStored   = 10077 // with one of several causes

	natsBatchUnknown = 10208 // "batch publish ID unknown"
)

// Those that say to do without batches: disabled, pattern or ID invalid, too many.
var natsBatchOff = []int{10205, 10206, 10207, 10211}

var errNoStream = errors.New("or it has no leader now (no responders)")

var errNotStream = errors.New("the answer is not a stream's: something else listens to the subject")

// A natsReply is an answer to a message or to a batch of them.
type natsReply struct {
	Type   string // of an answer while a batch is open: ack, gap or err
	Seq    uint64 // of a message of the batch; of a publish acknowledgement, in the stream
	Stream string
	Count  uint64 // messages of the batch that were taken
	Error  *struct {
		ErrCode     int `json:"err_code"`
		Description string
	}
	none bool // nobody listens
}

// readNATSReply gives an empty one for what is none.
func readNATSReply(m *nats.Msg) *natsReply {
	a := new(natsReply)
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		a.none = true
	} else if err := json.Unmarshal(m.Data, a); err != nil {
		return new(natsReply)
	}
	return a
}

// natsAnswer reads the answer to a message.
// https://docs.nats.io/reference/reference-protocols/nats_api_reference#publish-acknowledgements
func natsAnswer(m *nats.Msg) natsVerdict {
	if natsTaken(m.Data) {
		return natsVerdict{}
	}
	return readNATSReply(m).verdict()
}

// noStream says which subject nobody takes, and has the stream looked for again.
func (o *natsOutput) noStream(subject string) error {
	o.prepared = false
	err := fmt.Errorf("no stream takes the subject %s, %w", subject, errNoStream)
	if o.spec.Stream != "" && !o.spec.CreateStream {
		return fmt.Errorf("%w; if the stream %s is not there, make it, or set create_stream", err, o.spec.Stream)
	}
	return err
}

// natsTaken knows the acknowledgement that almost all answers are, without allocating.
func natsTaken(data []byte) bool {
	rest, ok := bytes.CutPrefix(data, []byte(`{"stream":"`))
	end := bytes.IndexAny(rest, `"\\`)
	if !ok || end <= 0 {
		return false
	}
	rest, ok = bytes.CutPrefix(rest[end:], []byte(`","seq":`))
	return ok && bytes.Equal(bytes.TrimLeft(rest, "0123456789"), []byte("}"))
}

// verdict is what it says of a message of its own.
func (a *natsReply) verdict() natsVerdict {
	switch {
	case a.none:
		return natsVerdict{err: errNoStream}
	case a.Error == nil && a.Stream == "":
		return natsVerdict{err: errNotStream}
	case a.Error == nil:
		return natsVerdict{}
	}
	text := fmt.Sprintf("%s (%d)", a.Error.Description, a.Error.ErrCode)
	switch {
	case a.Error.ErrCode == natsTooLarge, a.Error.ErrCode == natsNotStored && a.Error.Description == "message too large":
		return natsVerdict{label: tooLarge, reason: text}
	case a.Error.ErrCode == natsOtherStream:
		text += ": the subject belongs to another stream than the one in the configuration"
	}
	return natsVerdict{err: fmt.Errorf("the stream does not take a message: %s", text)}
}
