package lima

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"syscall"
	"time"

	"github.com/linnet-dev/linnet/pkg/host"
)

// pressing is how often the power button is pressed: a guest that is still booting does not
// notice it.
const pressing = 2 * time.Second

// powerOff presses the machine's power button until it is off, and ends what is left of it.
// Lima's host agent presses it once, and is asked to only where there is no other way.
func (m *Machine) powerOff(ctx context.Context) error {
	pid := owned(m.o.Layout, qemu+".pid")
	if pid == 0 {
		return m.stop(ctx) // one that is not QEMU's
	}
	limited, cancel := context.WithTimeout(ctx, graceful)
	defer cancel()
	if err := m.pressUntil(limited, func() bool { return !alive(pid) }); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if limited.Err() != nil {
			err = fmt.Errorf("it takes longer than %s", graceful)
		}
		m.warn("the virtual machine does not shut down, and is ended: " + err.Error())
	}
	return m.kill(ctx)
}

// pressUntil presses the button, again and again, until the machine is off.
func (m *Machine) pressUntil(ctx context.Context, off func() bool) error {
	look, again := time.NewTicker(50*time.Millisecond), time.NewTicker(pressing)
	defer look.Stop()
	defer again.Stop()
	before, err := error(nil), m.press(ctx)
	for !off() {
		if err != nil && before != nil {
			return err // one may be that of a machine that is just going off
		}
		select {
		case <-look.C:
		case <-again.C:
			before, err = err, m.press(ctx)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// press presses the power button once, through QEMU's own socket (QEMU Machine Protocol).
func (m *Machine) press(ctx context.Context) error {
	c, err := host.DialUnix(ctx, filepath.Join(m.o.Layout.LimaInstance(), "qmp.sock"))
	if err != nil {
		var errno syscall.Errno
		if errors.As(err, &errno) {
			err = errno
		}
		return fmt.Errorf("reaching its power button: %w", err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(pressing)); err != nil {
		return err
	}
	answers := bufio.NewReader(c)
	if _, err := answers.ReadString('\n'); err != nil { // its greeting
		return fmt.Errorf("reading what QEMU says: %w", err)
	}
	for _, command := range []string{"qmp_capabilities", "system_powerdown"} {
		if _, err := io.WriteString(c, `{"execute": "`+command+`"}`+"\n"); err != nil {
			return fmt.Errorf("telling QEMU to shut down: %w", err)
		}
		if _, err := answers.ReadString('\n'); err != nil {
			return fmt.Errorf("reading what QEMU says: %w", err)
		}
	}
	return nil
}
