//go:build linux

// early makes a guest out of a fresh boot. It runs three times:
//
//   - as the initrd's /init (process 1): it loads what reaches the root, mounts that, starts itself a second time
//     and becomes systemd;
//   - as `linnet-early`, beside systemd's own start: it reads what Lima tells the guest on its cidata disk, makes
//     the user, the network, the shared directories and the data disk, and says so with /run/linnet/ready,
//     for which systemd waits (linnet-ready.path) before it starts the agent;
//   - as `linnet-early button`, a service: it waits for the power button.
//
// It takes the place of cloud-init, udev, networkd and logind, none of which is in the image.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// cidataDir is where Lima's own scripts, and its checks over ssh, expect the cidata disk.
const cidataDir = "/mnt/lima-cidata"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case os.Getpid() == 1:
		err = boot(ctx)
	case len(os.Args) > 1 && os.Args[1] == "button":
		err = powerButton(ctx)
	default:
		if err = setUp(ctx); err != nil {
			// ssh comes up all the same, where the network does, so that a user can look.
			err = errors.Join(err, write(runDir+"/failed", err.Error()+"\n", 0o644))
		}
	}
	if err != nil {
		say(3, err.Error())
		os.Exit(1)
	}
}

// programs are what runs soon: the agent, the way in, and then an engine that starts and a first command.
var programs = []string{
	"/usr/libexec/linnet/bin/linnet-agent",
	"/usr/sbin/sshd", "/usr/lib/openssh/sshd-session", "/usr/lib/openssh/sshd-auth",
	"/usr/libexec/linnet/bin/containerd", "/usr/libexec/linnet/bin/nerdctl", "/usr/libexec/linnet/bin/buildkitd",
	"/usr/libexec/linnet/bin/containerd-shim-runc-v2", "/usr/libexec/linnet/bin/runc",
}

// setUp does all that depends on this boot. It can be done twice.
func setUp(ctx context.Context) error {
	began := time.Now()
	// Everybody may enter it: the agent's socket is for Lima's user.
	if err := os.MkdirAll(runDir, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", runDir, err)
	}
	go prefetch(programs...)
	modules, err := readModules("/usr/lib/modules")
	if err != nil {
		return err
	}
	var first work // what needs nothing from cidata
	first.start("the network's driver", func() error { return modules.load("virtio_net") })
	first.start("the engine's file system", func() error { return modules.load("overlay") })
	first.start("binfmt_misc", func() error { return binfmt(modules) })
	first.start("the agent's port", linkVirtioPorts)
	first.start("the kernel's settings", func() error { return errors.Join(makeNodes(), settings("/etc/sysctl.d")) })

	c, err := readCIData(ctx, modules)
	if err != nil {
		return errors.Join(err, first.wait())
	}
	read := time.Since(began)
	var steps work
	steps.start("the data disk", func() error { return dataDisk(ctx) })
	steps.start("the user", func() error { return makeUser("/", c) })
	steps.start("the host key", func() error { return hostKey(c, hostKeyFile) })
	steps.start("the shared directories", func() error {
		if err := mountShares(modules, c); err != nil {
			return err
		}
		return hide(c)
	})
	steps.start("Lima's scripts", func() error { return errors.Join(chooseScripts(c, scriptsDir), limaReady(c)) })
	err = errors.Join(setClock(c), first.wait())
	steps.start("the network", func() error { return network(c) }) // its driver is there now
	steps.start("emulators", func() error {
		// It was mounted above. A machine was seen that had it no more, once in some hundred starts.
		return errors.Join(mountBinfmt(binfmtDir), emulators(c, "/usr/lib/binfmt.d", binfmtDir))
	})
	if err := errors.Join(err, steps.wait(), handOver(c)); err != nil {
		return err
	}
	// With this level it is seen on the console, where the host looks for it: before, whatever it sent to sshd would
	// be tried again and again, and met by sshd all at once (pkg/lima, UpMark).
	say(3, "up")
	say(5, fmt.Sprintf("cidata read after %d ms, ready after %d ms", read.Milliseconds(), time.Since(began).Milliseconds()))
	if err := write(runDir+"/ready", "", 0o644); err != nil {
		return err
	}
	// Nothing waits for these.
	var later work
	later.start("names", func() error { return redirectDNS(ctx, c) })
	later.start("the power button", func() error { return modules.load("button", "evdev", "gpio_keys") })
	return later.wait()
}

// work is a set of steps that run side by side.
type work struct {
	group sync.WaitGroup
	mu    sync.Mutex
	errs  []error
}

func (w *work) start(name string, step func() error) {
	w.group.Go(func() {
		if err := step(); err != nil {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.errs = append(w.errs, fmt.Errorf("%s: %w", name, err))
		}
	})
}

func (w *work) wait() error {
	w.group.Wait()
	return errors.Join(w.errs...)
}

// say tells the kernel's log, with a level of syslog(3): its clock is the one that a start is measured by, and errors are
// seen on the console.
func say(level int, what string) {
	log, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return
	}
	defer log.Close()
	fmt.Fprintf(log, "<%d>linnet-early: %s\n", level, strings.ReplaceAll(what, "\n", "; "))
}
