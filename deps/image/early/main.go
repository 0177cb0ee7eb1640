//go:build linux

// early makes a guest out of a fresh boot: it reads what Lima tells the guest on its cidata disk, and makes the
// user, the network, the shared folders and the data disk before anything else starts. Then it waits for the
// power button. It takes the place of cloud-init, udev, networkd and logind, none of which is in the image.
//
// Everything that it does can be done twice: it runs at every boot, and again if it is restarted.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
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
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "linnet-early:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	began := time.Now()
	modules, err := readModules("/usr/lib/modules")
	if err != nil {
		return err
	}
	var others work // what needs nothing from cidata
	others.start("the network's driver", func() error { return modules.load("virtio_net") })
	others.start("the engine's file system", func() error { return modules.load("overlay") })
	others.start("emulators", func() error { return emulators(modules, "/usr/lib/binfmt.d") })
	others.start("randomness", func() error { return modules.load("virtio_rng") })
	others.start("the agent's port", linkVirtioPorts)
	others.start("the kernel's settings", func() error { return errors.Join(makeNodes(), settings("/etc/sysctl.d")) })

	c, err := readCIData(ctx, modules)
	if err != nil {
		return err
	}
	say("cidata read", began)
	if err := errors.Join(setClock(c), others.wait()); err != nil {
		return err
	}
	var steps work
	steps.start("the data disk", func() error { return dataDisk(ctx) })
	steps.start("the user", func() error { return errors.Join(makeUser("/", c), hostKey("/etc/ssh")) })
	steps.start("the network", func() error { return network(c) })
	steps.start("the shared folders", func() error { return mountShares(modules, c) })
	steps.start("Lima's scripts", func() error { return errors.Join(maskScripts(), limaReady(c)) })
	if err := steps.wait(); err != nil {
		return err
	}
	if err := handOver(c); err != nil {
		return err
	}
	say("ready", began)
	if err := notify("READY=1"); err != nil {
		return err
	}
	// Nothing waits for these.
	var later work
	later.start("names", func() error { return redirectDNS(ctx, c) })
	later.start("the power button", func() error { return modules.load("button", "evdev", "gpio_keys") })
	if err := later.wait(); err != nil {
		say(err.Error(), began)
	}
	return powerButton(ctx)
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

// say tells the kernel's log, whose clock is the one that a start is measured by.
func say(what string, began time.Time) {
	log, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return
	}
	defer log.Close()
	fmt.Fprintf(log, "<5>linnet-early: %s after %d ms\n", strings.ReplaceAll(what, "\n", "; "), time.Since(began).Milliseconds())
}

// notify speaks to the service manager, where there is one: sd_notify(3).
func notify(state string) error {
	address := os.Getenv("NOTIFY_SOCKET")
	if address == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("telling the service manager: %w", err)
	}
	_, err = conn.Write([]byte(state))
	return errors.Join(err, conn.Close())
}
