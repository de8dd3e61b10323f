package output

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// natsCluster is three servers.
func natsCluster(t *testing.T) (all []*natsServer) {
	var routes []string
	for range 3 {
		routes = append(routes, "nats://"+nobody(t))
	}
	for i, route := range routes {
		all = append(all, newNATSServer(t, func(o *server.Options) {
			own := server.RoutesFromStr(route)[0]
			o.ServerName, o.Cluster.Name, o.Cluster.Host = fmt.Sprint("n", i), "c", own.Hostname()
			_, err := fmt.Sscan(own.Port(), &o.Cluster.Port)
			must(t, err)
			for _, r := range routes {
				o.Routes = append(o.Routes, server.RoutesFromStr(r)...)
			}
		}))
	}
	return all
}

// A stream of a cluster changes its leader again and again, and loses it: nothing is lost,
// nothing is there twice, and the order holds.
func TestNATSClusterLosesItsLeader(t *testing.T) {
	t.Parallel()
	cluster := natsCluster(t)
	js := cluster[0].client(nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	config := jetstream.StreamConfig{
		Name: "LOGS", Subjects: []string{"logs.*"}, Duplicates: time.Hour, Replicas: 3, AllowBatchPublish: true,
	}
	until(t, func() error {
		ctx, cancel := context.WithTimeout(bg, time.Second)
		defer cancel()
		_, err := js.CreateStream(ctx, config)
		return err
	})
	o := cluster[0].opened(func(spec *Spec) {
		spec.Timeout, spec.Batch.Records = time.Second, 500
		for _, s := range cluster[1:] {
			spec.Servers = append(spec.Servers, s.ClientURL())
		}
	}, Env{})
	const rounds = 100
	for i := range rounds {
		b := sample("a", i*100, 100)
		o.(Encoder).Encode(b)
		untilLed(t, js, func() error { return o.Write(bg, b) })
		switch {
		case i == rounds/2:
			natsLeader(t, js, cluster).stop()
		case i%10 == 9: // no answer says that there is no leader to step down
			stepDown(js)
		}
	}
	untilLed(t, js, func() error { _, err := o.Flush(bg); return err })
	farEnd{got: cluster[0].messages, once: true}.check(t, "a", rounds*100)
}

// stepDown asks for another leader.
func stepDown(js jetstream.JetStream) {
	_, _ = js.Conn().Request(natsAPI+"STREAM.LEADER.STEPDOWN.LOGS", nil, time.Second)
}

// untilLed is until. A leader that has lost a proposal in a change before it answers "in
// process" for its id, until the duplicate window is over or the leader changes again
// (nats-server 2.15): the test does not wait for an hour.
func untilLed(t *testing.T, js jetstream.JetStream, do func() error) {
	t.Helper()
	last := time.Now()
	until(t, func() error {
		err := do()
		if err != nil && strings.Contains(err.Error(), "in process") && time.Since(last) > 2*time.Second {
			stepDown(js)
			last = time.Now()
		}
		return err
	})
}

// natsLeader is the server that leads the stream.
func natsLeader(t *testing.T, js jetstream.JetStream, cluster []*natsServer) (leader *natsServer) {
	until(t, func() error {
		ctx, cancel := context.WithTimeout(bg, 5*time.Second)
		defer cancel()
		stream, err := js.Stream(ctx, "LOGS")
		if err != nil {
			return err
		}
		for _, s := range cluster {
			if s.Name() == stream.CachedInfo().Cluster.Leader {
				leader = s
				return nil
			}
		}
		return errors.New("no leader")
	})
	return leader
}
