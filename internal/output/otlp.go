package output

import (
	"context"
	"errors"
	"fmt"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// otlpOutput exports records by the OpenTelemetry protocol (OTLP 1.x,
// https://opentelemetry.io/docs/specs/otlp/), over gRPC or over HTTP with protobuf.
//
// Followers encode LogRecords; a request puts the messages around them that say where
// they come from. An answer that got lost on its way has its request sent again, so the
// far end may see records twice, with the same log.record.uid.
type otlpOutput struct {
	*courier
	env    Env
	format *record.Format // nil: raw
	client otlpClient
	form   otlpForm
	body   []byte // of the request under way
	warned string // the last warning of the far end
	doubts otlpDoubts
}

// An otlpClient sends the body of an ExportLogsServiceRequest once. An error is a
// *refusal if the request is wrong, an *otlpDoubt if the request or the far end is, a
// *BusyError, or anything else that may be over when the request is sent again.
type otlpClient interface {
	export(ctx context.Context, body []byte) (otlpPartial, error)
	close()
}

// otlpMaxBytes keeps a request below the 4 MiB that gRPC servers take unless they are
// told otherwise.
const otlpMaxBytes = 7 << 19

func openOTLP(spec Spec, env Env) (Output, error) {
	if spec.Protocol != "http" {
		spec.Batch.Bytes = min(spec.Batch.Bytes, otlpMaxBytes)
	}
	o := &otlpOutput{env: env, form: newOTLPForm(env.Host)}
	var err error
	if spec.Format != "raw" && spec.Format != "" {
		if o.format, err = record.NewMessages(spec.Format, env.Host); err != nil {
			return nil, err
		}
	}
	if o.client, err = newOTLPClient(spec, env); err != nil {
		return nil, err
	}
	if o.courier, err = newCourier(spec, env, o.send); err != nil {
		o.client.close()
		return nil, err
	}
	return o, nil
}

func newOTLPClient(spec Spec, env Env) (otlpClient, error) {
	switch spec.Protocol {
	case "grpc":
		return newOTLPgRPC(spec, env)
	case "http":
		return newOTLPHTTP(spec, env)
	}
	return nil, fmt.Errorf("unknown protocol %q: grpc or http", spec.Protocol)
}

func (o *otlpOutput) send(ctx context.Context, r *request) error {
	partial, err := o.export(ctx, r)
	var doubt *otlpDoubt
	if errors.As(err, &doubt) {
		return o.doubts.blame(r, err, func(next *request) bool {
			partial, err := o.export(ctx, next)
			return err == nil && partial.rejected <= 0
		})
	}
	var no *refusal
	if errors.As(err, &no) && r.count() == 1 {
		o.doubts.over(r) // it will be given up
	}
	if err != nil {
		return err
	}
	o.doubts.accepted(r)
	if partial.rejected > 0 {
		// The protocol forbids to send it again, and does not say which records these are.
		reason := fmt.Sprintf("%d of %d records rejected: %s", partial.rejected, r.count(), partial.message)
		r.each(func(i int) { r.reject(i, partly, reason) })
	}
	return nil
}

func (o *otlpOutput) export(ctx context.Context, r *request) (otlpPartial, error) {
	o.body = o.form.appendRequest(o.body[:0], r)
	partial, err := o.client.export(ctx, o.body)
	if cap(o.body) > maxParcel {
		o.body = nil
	}
	if err == nil && partial.rejected <= 0 && partial.message != "" && partial.message != o.warned {
		o.env.Log.Warn("the far end accepts the records with a warning", "output", o.spec.Name, "warning", partial.message)
		o.warned = partial.message
	}
	return partial, err
}

func (o *otlpOutput) Close() error {
	o.client.close()
	return o.courier.Close()
}

// probeOTLP exports a message without a record: the far end answers it like any other.
func probeOTLP(ctx context.Context, spec Spec, env Env, _ []*record.Batch) error {
	client, err := newOTLPClient(spec, env)
	if err != nil {
		return err
	}
	defer client.close()
	if spec.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, spec.Timeout)
		defer cancel()
	}
	form := newOTLPForm(env.Host)
	_, err = client.export(ctx, form.appendEmpty(nil))
	return err
}
