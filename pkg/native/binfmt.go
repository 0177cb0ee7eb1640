package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/linnet-dev/linnet/pkg/emulate"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
)

// register makes linnet's entry for an architecture the newest, which the kernel takes first,
// and sees whether it does what it is there for. One that does not is taken away again. The
// caller holds the start lock.
func (n *Native) register(ctx context.Context, f emulate.Facts, a emulate.Architecture) (now emulate.Ability, err error) {
	if err := f.CanRegister(a); err != nil {
		return now, err
	}
	step := n.o.Report.Step("registering an emulator for linux/" + a.Name)
	defer func() {
		if err != nil {
			step.Fail(err)
			return
		}
		step.Done()
	}()
	if err := n.prepareBinfmt(ctx); err != nil {
		return now, err
	}
	emulator, entry := f.Emulators[a.Name].Path, n.o.Layout.BinfmtEntry(a.Machine)
	line, err := a.Registration(filepath.Base(entry), emulator)
	if err != nil {
		return now, err
	}
	if err := remove(entry); err != nil {
		return now, err
	}
	if err := n.tellKernel(entry, line); err != nil {
		return now, err
	}
	after, err := n.Emulation(ctx, a)
	if err != nil {
		return now, err
	}
	if now = emulate.Judge(after, a); !now.Whole() {
		err := &emulate.Error{Architecture: a, Problem: emulator + " does not run programs as containers need it", Fix: "install another qemu-user-static"}
		return now, errors.Join(err, remove(entry))
	}
	if names := n.rememberedNames(); !slices.Contains(names, a.Name) {
		if err := n.remember(append(names, a.Name)); err != nil {
			return now, err
		}
	}
	return now, n.putSign(a, now.Interpreter)
}

// tellKernel makes an entry by its line.
func (n *Native) tellKernel(entry, line string) error {
	err := os.WriteFile(filepath.Join(n.o.Layout.Binfmt(), "register"), []byte(line), 0)
	if err != nil {
		return fmt.Errorf("registering %s: %w", filepath.Base(entry), hint.Cause(err))
	}
	return nil
}

// putSign makes an entry by a name that nerdctl looks for, if there is none.
func (n *Native) putSign(a emulate.Architecture, interpreter string) error {
	l := n.o.Layout
	sign := l.BinfmtMarker(a.Machine)
	for _, path := range []string{filepath.Join(l.Binfmt(), "qemu-"+a.Machine), sign} {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
	}
	err := n.tellKernel(sign, emulate.Sign(filepath.Base(sign), l.BinfmtExtension(), interpreter))
	if errors.Is(err, fs.ErrExist) {
		return nil // an engine in another home was quicker
	}
	return err
}

// prepareBinfmt makes the kernel's binfmt_misc ready to be told something.
func (n *Native) prepareBinfmt(ctx context.Context) error {
	dir := n.o.Layout.Binfmt()
	status := filepath.Join(dir, "status")
	if _, err := os.Stat(status); err != nil {
		if text, err := os.ReadFile("/proc/filesystems"); err == nil && !strings.Contains(string(text), "\tbinfmt_misc\n") {
			if err := n.Run(ctx, guest.Process{Argv: []string{"modprobe", "binfmt_misc"}}); err != nil {
				return &hint.Error{Err: fmt.Errorf("loading binfmt_misc: %w", err), Fix: "modprobe binfmt_misc says more"}
			}
		}
		if err := mountBinfmt(dir); err != nil {
			return &hint.Error{Err: fmt.Errorf("mounting binfmt_misc on %s: %w", dir, err), Fix: "in a container or a sandbox: let the machine outside of it do this"}
		}
	}
	text, err := os.ReadFile(status)
	if err == nil && strings.TrimSpace(string(text)) != "enabled" {
		err = os.WriteFile(status, []byte("1"), 0)
	}
	if err != nil {
		return fmt.Errorf("switching binfmt_misc on: %w", hint.Cause(err))
	}
	return nil
}

// unregister takes linnet's own entries away.
func (n *Native) unregister() error {
	entries, _ := filepath.Glob(n.o.Layout.BinfmtEntry("*")) // the pattern is fine
	var errs []error
	for _, a := range emulate.Architectures() {
		sign := n.o.Layout.BinfmtMarker(a.Machine)
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
		return &hint.Error{Err: fmt.Errorf("removing the emulator %s: only root may do that", filepath.Base(entry)), Fix: "do it with sudo"}
	}
	if err != nil {
		return fmt.Errorf("removing the emulator %s: %w", filepath.Base(entry), hint.Cause(err))
	}
	return nil
}
