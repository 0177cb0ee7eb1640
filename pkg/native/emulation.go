package native

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/linnet-dev/linnet/pkg/emulate"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/host"
)

// Emulation says what this host emulates; the programs of some architectures are run to see.
func (n *Native) Emulation(ctx context.Context, try ...emulate.Architecture) (emulate.Facts, error) {
	l := n.o.Layout
	q := emulate.Question{Try: try, Folders: []string{l.Engine(), "/var/tmp"}}
	f, err := emulate.Ask(ctx, q, func(ctx context.Context, argv []string, stdout io.Writer) error {
		return n.Run(ctx, guest.Process{Argv: argv, Stdout: stdout})
	})
	if err != nil {
		return f, err
	}
	f.Own = l.BinfmtOwn()
	f.Emulators = emulators(append([]string{l.Emulators()}, searched(n.o.Environ)...))
	_, err = os.Stat(l.EmulationOff())
	f.Off = err == nil
	return f, nil
}

// Emulate sees to it that an architecture's programs run, and says through which interpreter.
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
	step := n.o.Report.Step("registering an emulator for linux/" + a.Name)
	now, err = n.register(ctx, f, a)
	if err != nil {
		step.Fail(err)
		return "", err
	}
	step.Done()
	return now.Interpreter, nil
}

// EnableEmulation registers emulators for some architectures, or for all that this host has an
// emulator for, unless their programs run well already.
func (n *Native) EnableEmulation(ctx context.Context, wanted []emulate.Architecture) error {
	if err := os.Remove(n.o.Layout.EmulationOff()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("enabling emulation: %w", err)
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
		if emulate.Judge(f, a).Whole() {
			able++
			continue
		}
		if f.CanRegister(a) != nil && !named {
			continue
		}
		step := n.o.Report.Step("registering an emulator for linux/" + a.Name)
		if _, err := n.register(ctx, f, a); err != nil {
			step.Fail(err)
			errs = append(errs, err)
			continue
		}
		step.Done()
		able++
	}
	if !named && able <= 1 && len(errs) == 0 { // its own architecture counts
		return f.CanRegister(other(f.Machine))
	}
	return errors.Join(errs...)
}

// other is the architecture that somebody on a machine most likely means by "the other one".
func other(machine string) emulate.Architecture {
	name := "amd64"
	if a, _ := emulate.Find(machine); a.Name == name {
		name = "arm64"
	}
	a, _ := emulate.Find(name)
	return a
}

// DisableEmulation takes linnet's own entries away and remembers that none is wanted.
func (n *Native) DisableEmulation(context.Context) error {
	if err := n.unregister(); err != nil {
		return err
	}
	l := n.o.Layout
	if err := os.MkdirAll(l.Engine(), 0o700); err != nil {
		return homeError(l.Home, err)
	}
	if err := host.WriteFile(l.EmulationOff(), nil, 0o600); err != nil {
		return homeError(l.Home, err)
	}
	return nil
}

// register makes linnet's entry for an architecture the newest, which the kernel takes first,
// and sees whether it does what it is there for. One that does not is taken away again.
func (n *Native) register(ctx context.Context, f emulate.Facts, a emulate.Architecture) (emulate.Ability, error) {
	if err := f.CanRegister(a); err != nil {
		return emulate.Ability{}, err
	}
	l := n.o.Layout
	if err := n.prepareBinfmt(ctx); err != nil {
		return emulate.Ability{}, err
	}
	entry := l.BinfmtEntry(a.Machine)
	line, err := a.Registration(filepath.Base(entry), f.Emulators[a.Name].Path)
	if err != nil {
		return emulate.Ability{}, err
	}
	if err := remove(entry); err != nil {
		return emulate.Ability{}, err
	}
	err = os.WriteFile(filepath.Join(l.Binfmt(), "register"), []byte(line), 0)
	if err != nil && !errors.Is(err, fs.ErrExist) { // somebody else has just done the same
		return emulate.Ability{}, fmt.Errorf("registering %s: %w", f.Emulators[a.Name].Path, bare(err))
	}
	after, err := n.Emulation(ctx, a)
	if err != nil {
		return emulate.Ability{}, err
	}
	now := emulate.Judge(after, a)
	if !now.Whole() {
		err := &emulate.Error{Architecture: a, Problem: fmt.Sprintf("%s does not run programs as containers need it", f.Emulators[a.Name].Path), Fix: "install another qemu-user-static"}
		return now, errors.Join(err, remove(entry))
	}
	return now, n.putSign(a, now.Interpreter)
}

// putSign makes an entry by a name that nerdctl looks for, if there is none.
func (n *Native) putSign(a emulate.Architecture, interpreter string) error {
	l := n.o.Layout
	sign := l.BinfmtSign(a.Machine)
	for _, path := range []string{filepath.Join(l.Binfmt(), "qemu-"+a.Machine), sign} {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
	}
	line := emulate.Sign(filepath.Base(sign), l.BinfmtExtension(), interpreter)
	err := os.WriteFile(filepath.Join(l.Binfmt(), "register"), []byte(line), 0)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("registering %s: %w", filepath.Base(sign), bare(err))
	}
	return nil
}

// prepareBinfmt makes the kernel's binfmt_misc ready to be told something.
func (n *Native) prepareBinfmt(ctx context.Context) error {
	dir := n.o.Layout.Binfmt()
	status := filepath.Join(dir, "status")
	if _, err := os.Stat(status); err != nil {
		if text, err := os.ReadFile("/proc/filesystems"); err == nil && !strings.Contains(string(text), "\tbinfmt_misc\n") {
			if err := n.Run(ctx, guest.Process{Argv: []string{"modprobe", "binfmt_misc"}}); err != nil {
				return &host.HintError{Err: fmt.Errorf("loading binfmt_misc: %w", err), Fix: "modprobe binfmt_misc says more"}
			}
		}
		if err := mountBinfmt(dir); err != nil {
			return &host.HintError{Err: fmt.Errorf("mounting binfmt_misc on %s: %w", dir, err), Fix: "in a container or a sandbox: let the machine outside of it do this"}
		}
	}
	text, err := os.ReadFile(status)
	if err == nil && strings.TrimSpace(string(text)) != "enabled" {
		err = os.WriteFile(status, []byte("1"), 0)
	}
	if err != nil {
		return fmt.Errorf("switching binfmt_misc on: %w", bare(err))
	}
	return nil
}

// unregister takes linnet's own entries away.
func (n *Native) unregister() error {
	entries, _ := filepath.Glob(n.o.Layout.BinfmtEntry("*")) // the pattern is fine
	var errs []error
	for _, a := range emulate.Architectures() {
		sign := n.o.Layout.BinfmtSign(a.Machine)
		text, err := os.ReadFile(sign)
		if err == nil && emulate.ParseEntry("", string(text)).Extension == n.o.Layout.BinfmtExtension() {
			entries = append(entries, sign)
		}
	}
	for _, e := range entries {
		errs = append(errs, remove(e))
	}
	return errors.Join(errs...)
}

// remove takes one entry away, if it is there.
func remove(entry string) error {
	f, err := os.OpenFile(entry, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		_, err = f.WriteString("-1")
		err = errors.Join(err, f.Close())
	}
	if errors.Is(err, fs.ErrPermission) {
		return &host.HintError{Err: fmt.Errorf("removing the emulator %s: only root may do that", filepath.Base(entry)), Fix: "do it with sudo"}
	}
	if err != nil {
		return fmt.Errorf("removing the emulator %s: %w", filepath.Base(entry), bare(err))
	}
	return nil
}

// bare is a file error without the operation and the path, which our own words name.
func bare(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// searched are the folders in which a system's emulators are.
func searched(environ []string) []string {
	var dirs []string
	for _, pair := range environ {
		if list, ok := strings.CutPrefix(pair, "PATH="); ok {
			dirs = filepath.SplitList(list)
		}
	}
	return append(dirs, "/usr/local/bin", "/usr/bin")
}

// emulators finds QEMU's user emulators in some folders. A static one goes before any other.
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

// isStatic says whether a program needs no loader.
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
