package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/doctor"
	"github.com/linnet-dev/linnet/pkg/doctor/gather"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/relay"
	"github.com/linnet-dev/linnet/pkg/settings"
	"github.com/linnet-dev/linnet/pkg/vm"
)

// doctorSource says where facts are. A home that may not be used is no error here: it is what is to be told.
func (a *app) doctorSource() gather.Source {
	program, _ := os.Executable() // without it less is known
	s := gather.Source{Root: cmp.Or(a.systemRoot, "/"), LookupEnv: os.LookupEnv, Program: program, DockerSocket: a.systemSocket}
	s.Layout, s.LayoutError = a.Layout()
	var distrusted *host.DistrustError
	if errors.As(s.LayoutError, &distrusted) && distrusted.Path != s.Layout.Home && slices.Contains(s.Layout.Directories(), distrusted.Path) {
		s.LayoutError = nil // the check of directories says it, of each
	}
	if s.Layout.Home == "" {
		home := os.Getenv(host.EnvHome)
		if home == "" {
			home = filepath.Join(os.Getenv("HOME"), ".linnet")
		}
		s.Layout.Home, _ = filepath.Abs(home) // of a working directory that is gone nothing is known
	}
	return s
}

// facts are those of this host, of the settings, and of the engine. An engine whose directories others could change is not asked.
func (a *app) facts(ctx context.Context, source gather.Source, network bool) *doctor.Facts {
	var reading sync.WaitGroup
	var components []doctor.Component
	_, layoutErr := a.Layout()
	if layoutErr == nil {
		reading.Go(func() { components = a.componentFacts() })
	}
	var registries []doctor.Registry
	if network {
		reading.Go(func() { registries = gather.Registries(ctx, source.RegistryNames()) })
	}
	f := gather.Read(ctx, source)
	f.Network = network
	if layoutErr == nil {
		a.settingFacts(f)
		a.engineFacts(ctx, f)
	}
	reading.Wait()
	f.Components, f.Registries = components, registries
	return f
}

// settingFacts adds what the settings say, or what is wrong with them.
func (a *app) settingFacts(f *doctor.Facts) {
	set, err := a.Settings()
	var problems settings.Problems
	switch {
	case errors.As(err, &problems):
		for _, p := range problems {
			f.Settings = append(f.Settings, doctor.Problem{Text: p.Error(), Fix: cmp.Or(p.Hint, "linnet config validate says more")})
		}
	case err != nil:
		f.Settings = append(f.Settings, doctor.Problem{Text: err.Error(), Fix: hint.Of(err)})
	}
	if err != nil {
		set = settings.Defaults(settings.HostFacts())
	}
	f.Wanted = string(set.Backend)
	chosen, err := chooseBackend(set.Backend, settings.HostFacts())
	if err != nil {
		f.BackendError = &doctor.Problem{Text: err.Error(), Fix: hint.Of(err)}
	}
	f.Backend = string(chosen)
	f.Engine.Snapshotter = string(set.Engine.Snapshotter)
	f.Docker.Off = set.Docker.Socket != settings.On
	f.VM.Memory, f.VM.Accelerator = int64(set.VM.Memory), set.VM.Accelerator.String()
}

func (a *app) componentFacts() (all []doctor.Component) {
	installed, err := a.components()
	if err != nil {
		return nil
	}
	for _, c := range installed {
		all = append(all, doctor.Component{Name: c.Name, Pinned: c.Pinned, Found: c.Found, Path: c.Path, State: string(c.State), Unmended: c.Unmended})
	}
	return all
}

// engineFacts adds what runs.
func (a *app) engineFacts(ctx context.Context, f *doctor.Facts) {
	f.Engine.Client = agent.Version
	l, err := a.Layout()
	if err != nil || f.Backend == "" || len(f.Settings) > 0 {
		return
	}
	e, err := a.Engine()
	if err != nil {
		f.Engine.Error = &doctor.Problem{Text: err.Error(), Fix: hint.Of(err)}
		return
	}
	if e.machine != nil {
		a.machineFacts(ctx, f, e)
		return
	}
	askAgent(ctx, f, l.Socket("agent"))
	if f.Engine.State == "stopped" && slices.ContainsFunc(f.Home.Sockets, func(s doctor.Socket) bool { return s.Listens && s.Path != l.DockerSocket() }) {
		f.Engine.State = "degraded"
	}
	f.Engine.RuntimeMissing = f.Engine.RuntimeMissing && f.Engine.State == "running"
}

// agentLimit is how long an agent may take to say how it is.
const agentLimit = time.Second

// askAgent adds what an agent says of itself, if one runs.
func askAgent(ctx context.Context, f *doctor.Facts, socket string) {
	ctx, cancel := context.WithTimeout(ctx, agentLimit)
	defer cancel()
	status := guest.Status{State: "stopped"}
	c, err := agent.Dial(ctx, socket)
	if err == nil {
		defer c.Close()
		info, asked := c.Info(ctx)
		if err = asked; err == nil {
			agent.Describe(&status, info, socket)
		}
	}
	if err != nil && !errors.Is(err, agent.ErrNotRunning) && !errors.Is(err, agent.ErrStopping) {
		f.Engine.Error = &doctor.Problem{Text: "asking the agent: " + err.Error(), Fix: cmp.Or(hint.Of(err), "linnet engine logs agent, then linnet engine restart")}
		return
	}
	f.Engine.State, f.Engine.Agent = status.State, status.Versions["agent"]
	for _, d := range status.Daemons {
		f.Engine.Daemons = append(f.Engine.Daemons, doctor.Daemon{Name: d.Name, State: d.State, Restarts: d.Restarts, LastError: d.LastError})
	}
}

// machineFacts adds how the virtual machine is.
func (a *app) machineFacts(ctx context.Context, f *doctor.Facts, e *engine) {
	d := e.machine.Diagnose()
	f.VM.State, f.VM.Emulated = string(d.Status), d.Emulated
	if d.Missing != nil {
		f.VM.Tools = append(f.VM.Tools, doctor.Problem{Text: d.Missing.Error(), Fix: hint.Of(d.Missing)})
	}
	if images, err := a.images(); err == nil {
		if choice, err := images.wanted(ctx); err == nil {
			f.VM.Image = choice.There
			if !choice.There {
				f.VM.ImageFrom = choice.Source.Place()
			}
		}
	}
	f.Engine.State, f.Engine.RuntimeMissing = "stopped", false
	if d.Status != vm.Running && d.Status != vm.Orphaned {
		return
	}
	l := *a.layout // there is one, as there is a machine
	asking, cancel := context.WithTimeout(ctx, agentLimit)
	defer cancel()
	channel, err := relay.Query(asking, l.VMSocket("relay"))
	switch {
	case err != nil:
		f.VM.Relay = err.Error()
		return
	case !channel.Connected:
		f.VM.Relay, f.VM.RelayFix = cmp.Or(channel.Error, "the relay is not connected"), channel.Hint
		return
	}
	for _, p := range channel.Ports {
		f.Engine.Ports = append(f.Engine.Ports, doctor.Port{Name: p.Host + "/" + p.Protocol, Error: p.Error})
	}
	askAgent(ctx, f, l.VMSocket("agent"))
	f.VM.Clock, f.VM.ClockKnown = machineClock(ctx, e.Guest)
}

// machineClock is a guest's clock less this host's.
func machineClock(ctx context.Context, g guest.Guest) (drift time.Duration, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, agentLimit)
	defer cancel()
	var out bytes.Buffer
	before := time.Now()
	if g.Run(ctx, guest.Process{Argv: []string{"date", "+%s"}, Stdout: &out}) != nil {
		return 0, false
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(out.String()), 10, 64)
	if err != nil {
		return 0, false
	}
	return time.Unix(seconds, 0).Sub(before).Truncate(time.Second), true
}
