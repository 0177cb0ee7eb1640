package native

import (
	"context"
	"debug/elf"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/linnet-dev/linnet/pkg/emulate"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/host"
)

// Emulation says what this host emulates; the programs of some architectures are run to see.
func (n *Native) Emulation(ctx context.Context, try ...emulate.Architecture) (emulate.Facts, error) {
	l := n.o.Layout
	q := emulate.Question{Try: try, Dirs: []string{l.Engine(), "/var/tmp"}}
	f, err := emulate.Ask(ctx, q, func(ctx context.Context, argv []string, stdout io.Writer) error {
		return n.Run(ctx, guest.Process{Argv: argv, Stdout: stdout})
	})
	if err != nil {
		return f, err
	}
	f.Own = l.BinfmtOwn()
	f.Emulators = emulators(append([]string{l.Emulators()}, searched(n.o.Environ)...))
	f.Off = slices.Equal(n.rememberedNames(), off)
	return f, nil
}

// Emulate ensures that an architecture's programs run, and says through which interpreter.
// Once linnet has registered one, that costs the reading of one file.
func (n *Native) Emulate(ctx context.Context, a emulate.Architecture) (interpreter string, err error) {
	text, err := os.ReadFile(n.o.Layout.BinfmtEntry(a.Machine))
	if e := emulate.ParseEntry("", string(text)); err == nil && e.Runs(a) {
		return e.Interpreter, nil
	}
	f, err := n.Emulation(ctx)
	if err != nil {
		return "", err
	}
	now := emulate.Judge(f, a)
	if now.Whole() {
		return now.Interpreter, nil
	}
	if f.Off || f.CanRegister(a) != nil {
		if now.Runs == emulate.Emulated {
			return now.Interpreter, nil // not as well as it could
		}
		return "", &emulate.Error{Architecture: a, Problem: now.Missing, Fix: now.Fix}
	}
	lock, err := n.lockStart(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }()
	if f, err = n.Emulation(ctx); err != nil {
		return "", err
	}
	if now = emulate.Judge(f, a); now.Whole() {
		return now.Interpreter, nil // another command has just done it
	}
	now, err = n.register(ctx, f, a)
	return now.Interpreter, err
}

// EnableEmulation registers emulators for some architectures, or for all that this host has an
// emulator for, unless their programs run well already.
func (n *Native) EnableEmulation(ctx context.Context, wanted []emulate.Architecture) error {
	lock, err := n.lockStart(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if slices.Equal(n.rememberedNames(), off) {
		if err := n.remember(nil); err != nil {
			return err
		}
	}
	f, err := n.Emulation(ctx, emulate.Architectures()...)
	if err != nil {
		return err
	}
	named := len(wanted) > 0
	if !named {
		wanted = emulate.Architectures()
	}
	var errs []error
	able := 0
	for _, a := range wanted {
		switch {
		case emulate.Judge(f, a).Whole():
			able++
		case named || f.CanRegister(a) == nil:
			if _, err := n.register(ctx, f, a); err != nil {
				errs = append(errs, err)
				continue
			}
			able++
		}
	}
	if !named && able <= 1 && len(errs) == 0 { // its own architecture counts
		return f.CanRegister(other(f.Machine))
	}
	return errors.Join(errs...)
}

// other is the architecture that a user of a machine most likely means by "the other one".
func other(machine string) emulate.Architecture {
	name := "amd64"
	if a, _ := emulate.Find(machine); a.Name == name {
		name = "arm64"
	}
	a, _ := emulate.Find(name)
	return a
}

// DisableEmulation takes linnet's own entries away and remembers that none is wanted.
func (n *Native) DisableEmulation(ctx context.Context) error {
	lock, err := n.lockStart(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if err := n.unregister(); err != nil {
		return err
	}
	return n.remember(off)
}

// off is what is remembered instead of names when no emulation is wanted.
var off = []string{"off"}

// rememberedNames are the names that are remembered.
func (n *Native) rememberedNames() []string {
	text, err := os.ReadFile(n.o.Layout.Emulation())
	if err != nil {
		return nil
	}
	return strings.Fields(string(text))
}

func (n *Native) remember(names []string) error {
	if err := host.WriteFile(n.o.Layout.Emulation(), []byte(strings.Join(names, "\n")+"\n"), 0o600); err != nil {
		return host.HomeError(n.o.Layout.Home, err)
	}
	return nil
}

// restoreEmulation registers again what a reboot has made the kernel forget. What does not work
// any more keeps no engine from starting. The caller holds the start lock.
func (n *Native) restoreEmulation(ctx context.Context) {
	for _, name := range n.rememberedNames() {
		a, ok := emulate.Find(name)
		if !ok {
			continue
		}
		if _, err := os.Stat(n.o.Layout.BinfmtEntry(a.Machine)); err == nil {
			continue
		}
		if f, err := n.Emulation(ctx); err == nil && !emulate.Judge(f, a).Whole() {
			_, _ = n.register(ctx, f, a) // the step says so
		}
	}
}

// searched are the directories in which a system's emulators are.
func searched(environ []string) []string {
	var dirs []string
	for _, pair := range environ {
		if list, ok := strings.CutPrefix(pair, "PATH="); ok {
			dirs = filepath.SplitList(list)
		}
	}
	return append(dirs, "/usr/local/bin", "/usr/bin")
}

// emulators finds QEMU's user emulators in some directories. A static one goes before any other.
func emulators(dirs []string) map[string]emulate.Emulator {
	found := map[string]emulate.Emulator{}
	for _, a := range emulate.Architectures() {
		for _, dir := range dirs {
			for _, name := range []string{"qemu-" + a.Machine + "-static", "qemu-" + a.Machine} {
				path := filepath.Join(dir, name)
				info, err := os.Stat(path)
				if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 || !filepath.IsAbs(path) {
					continue
				}
				old, there := found[a.Name]
				if static := isStatic(path); !there || static && !old.Static {
					found[a.Name] = emulate.Emulator{Path: path, Static: static}
				}
			}
		}
	}
	return found
}

// isStatic reports whether a program needs no loader.
func isStatic(path string) bool {
	f, err := elf.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return false
		}
	}
	return true
}
