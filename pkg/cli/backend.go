package cli

import (
	"context"
	"fmt"
	"os"
	"runtime"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/client"
	"github.com/linnet-dev/linnet/pkg/emulate"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/lima"
	"github.com/linnet-dev/linnet/pkg/native"
	"github.com/linnet-dev/linnet/pkg/registry"
	"github.com/linnet-dev/linnet/pkg/route"
	"github.com/linnet-dev/linnet/pkg/settings"
)

// engine is what runs commands, and what a person starts and stops. It is native or a machine; the other field is nil.
type engine struct {
	guest.Guest
	guest.Engine
	native  *native.Native
	machine *lima.Guest
}

// Engine is the engine that the settings choose.
func (a *app) Engine() (*engine, error) {
	if a.engine != nil {
		return a.engine, nil
	}
	s, err := a.Settings()
	if err != nil {
		return nil, err
	}
	chosen, err := chooseBackend(s.Backend, settings.HostFacts())
	if err != nil {
		return nil, err
	}
	l, err := a.Layout()
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	if len(a.extensions) > 0 {
		program = beside(program, string(route.Client)) // what stays behind is the small one
	}
	switch chosen {
	case settings.Lima:
		m := a.machine(l, s, program)
		a.engine = &engine{Guest: m, Engine: m, machine: m}
	default:
		n := native.New(native.Options{
			Layout: l, Program: program, Environ: os.Environ(), Report: a.Report(),
			Spec: func() (agent.Spec, error) { return engineSpec(l, s), nil },
		})
		a.engine = &engine{Guest: n, Engine: n, native: n}
	}
	return a.engine, nil
}

// Client is what every command runs with.
func (a *app) Client() (*client.Client, error) {
	e, err := a.Engine()
	if err != nil {
		return nil, err
	}
	s, err := a.Settings()
	if err != nil {
		return nil, err
	}
	arch := runtime.GOARCH
	if e.machine != nil {
		arch = lima.HostFacts().Arch
	}
	dir, _ := os.Getwd() // a command line that is localized needs one, and says so
	return &client.Client{
		Guest: e.Guest, Streams: a.streams, Environ: os.Environ(), Dir: dir, Home: os.Getenv("HOME"),
		Registries: registry.Open(os.Environ()), HostsDirs: s.Engine.HostsDirs, Arch: arch,
		Emulator: func(ctx context.Context, arch emulate.Architecture) (string, error) { return emulateIn(ctx, e, arch) },
		Note:     a.note, Release: a.closeReport,
	}, nil
}

// note tells the user something in passing.
func (a *app) note(text string) {
	if !a.quiet {
		fmt.Fprintln(a.Report().Writer(), "note:", text)
	}
}

// closeReport takes the live line away before another program has the terminal.
func (a *app) closeReport() {
	if a.report != nil {
		a.report.Close()
		a.report = nil
	}
}

// chooseBackend says which backend a setting means on a host: natively where that is
// possible, which today takes root on Linux, and in a virtual machine everywhere else.
func chooseBackend(wanted settings.Backend, f settings.Facts) (settings.Backend, error) {
	switch {
	case wanted == settings.Auto && f.OS == "linux" && f.Root:
		return settings.Native, nil
	case wanted == settings.Auto:
		return settings.Lima, nil
	case wanted == settings.Native && f.OS != "linux":
		return "", hint.With(fmt.Errorf(`choosing the backend: "native" runs on Linux, and this is %s`, f.OS), "set backend: auto")
	}
	return wanted, nil
}
