//go:build linux

package engine

import (
	"context"

	"github.com/sirupsen/logrus"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/host"
)

// service is how the engine runs one of its services.
type service struct {
	// needs must answer before this one is started, and a new one of it gets a new one of this.
	needs guest.Service
	// reconnects says that the one that runs goes on with a new one of what it needs.
	reconnects bool
	// onDemand is started when a client wants it, and not before.
	onDemand bool
	// config is the file it is started with, flag what goes before that.
	flag, config string
	// patient gives way to everything else while it comes up, unless a client waits for it.
	patient bool
	// before clears away what an earlier one left, once what is needed answers.
	before func(ctx context.Context, l host.Layout) error
}

// services has an entry for each of guest.Services.
var services = map[guest.Service]service{
	guest.Containerd: {
		flag: "--config", config: "containerd.toml",
		before: func(_ context.Context, l host.Layout) error { return dropTempMounts(l) },
	},
	// buildkitd asks containerd for its snapshotters once, at its start, and fails builds for
	// seconds after its connection broke.
	guest.BuildKit: {
		flag: "--config", config: "buildkitd.toml",
		needs: guest.Containerd, patient: true,
		before: func(ctx context.Context, l host.Layout) error { return endSteps(ctx, socketOf(l, guest.Containerd)) },
	},
	guest.Docker: {
		flag: "--config-file", config: "dockerd.json",
		needs: guest.Containerd, reconnects: true, onDemand: true,
		before: removeDockerPID,
	},
}

func socketOf(l host.Layout, s guest.Service) string { return l.Socket(s.Daemon()) }

// argvOf is how a daemon is started, and known again.
func argvOf(l host.Layout, s guest.Service) []string {
	return []string{l.Bin(s.Daemon()), services[s].flag, l.Config(services[s].config)}
}

// drainingArgv is a containerd without its restart monitor, which would start again what is being stopped.
func drainingArgv(l host.Layout) []string {
	return []string{l.Bin(guest.Containerd.Daemon()), "--config", l.Config("containerd-drain.toml")}
}

// newDaemons makes a daemon of each service, each after those that it needs. env is their whole environment.
func newDaemons(l host.Layout, env []string, log logrus.FieldLogger) (all []*daemon) {
	made := map[guest.Service]*daemon{}
	for _, name := range guest.Services() {
		s, d := services[name], newDaemon(name.Daemon(), argvOf(l, name), env, l, log)
		d.patient, d.before = s.patient, func(ctx context.Context) error { return s.before(ctx, l) }
		if s.onDemand {
			d.onDemand, d.awake, d.state = true, false, guest.Asleep
		}
		if d.needs = made[s.needs]; d.needs != nil && !s.reconnects {
			d.needs.users = append(d.needs.users, d)
		}
		made[name] = d
		all = append(all, d)
	}
	return all
}
