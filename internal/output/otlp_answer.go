package output

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/encoding/protowire"
)

// An otlpPartial is what an answer says about the records of an accepted request: how
// many of them were rejected for good, and why; or, if it is none, a warning.
type otlpPartial struct {
	rejected int64
	message  string
}

// parseOTLPAnswer reads an ExportLogsServiceResponse.
func parseOTLPAnswer(body []byte) (p otlpPartial, err error) {
	err = eachField(body, func(number protowire.Number, value []byte, _ uint64) error {
		if number != 1 || value == nil { // partial_success
			return nil
		}
		return eachField(value, func(number protowire.Number, value []byte, n uint64) error {
			switch {
			case number == 1 && value == nil:
				p.rejected = int64(n)
			case number == 2 && value != nil:
				p.message = string(value)
			}
			return nil
		})
	})
	return p, err
}

// parseOTLPStatus gives the message of a google.rpc.Status.
func parseOTLPStatus(body []byte) (message string, err error) {
	err = eachField(body, func(number protowire.Number, value []byte, _ uint64) error {
		if number == 2 && value != nil {
			message = string(value)
		}
		return nil
	})
	return message, err
}

// parseRetryInfo gives the retry_delay of a google.rpc.RetryInfo. Less than nothing
// counts as nothing, more than longestBusy as that.
func parseRetryInfo(body []byte) (delay time.Duration, err error) {
	err = eachField(body, func(number protowire.Number, value []byte, _ uint64) error {
		if number != 1 || value == nil {
			return nil
		}
		var seconds, nanos int64
		err := eachField(value, func(number protowire.Number, value []byte, n uint64) error {
			switch {
			case number == 1 && value == nil:
				seconds = int64(n)
			case number == 2 && value == nil:
				nanos = int64(int32(n))
			}
			return nil
		})
		seconds = min(max(seconds, 0), int64(longestBusy/time.Second))
		delay = min(max(time.Duration(seconds)*time.Second+time.Duration(nanos), 0), longestBusy)
		return err
	})
	return delay, err
}

// eachField calls do for the fields of a message: with the bytes (never nil) of one
// that has a length, with the number of a varint. Others are passed over.
func eachField(message []byte, do func(number protowire.Number, value []byte, n uint64) error) error {
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return errors.New("it is no protobuf message")
		}
		message = message[size:]
		var value []byte
		var n uint64
		switch kind {
		case protowire.BytesType:
			value, size = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(message)
		default:
			size = protowire.ConsumeFieldValue(number, kind, message)
		}
		if size < 0 {
			return errors.New("it is no protobuf message")
		}
		message = message[size:]
		if kind == protowire.BytesType || kind == protowire.VarintType {
			if err := do(number, value, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// readOTLPAnswer is parseOTLPAnswer of what endpoint has answered, fit for messages.
func readOTLPAnswer(spec Spec, body []byte) (otlpPartial, error) {
	p, err := parseOTLPAnswer(body)
	if err != nil {
		return p, fmt.Errorf("%s: the answer is not understood: %w", spec.Endpoint, err)
	}
	p.message = otlpText(spec, p.message)
	return p, nil
}

// otlpText is what the far end says, in one line, without secrets and not too long.
func otlpText(spec Spec, text string) string {
	text = strings.ToValidUTF8(text, "")
	for _, s := range spec.Secrets() {
		text = strings.ReplaceAll(text, s, "(secret)")
	}
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	const most = 300
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
