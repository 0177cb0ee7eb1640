//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// powerButton waits for the power button, by which Lima stops a machine, and tells the first process to
// power off (systemd(1), "SIGRTMIN+4").
func powerButton(ctx context.Context) error {
	pressed := make(chan error)
	watched := map[string]bool{}
	tick := time.NewTicker(200 * time.Millisecond) // the driver may still be finding it
	defer tick.Stop()
	for len(watched) == 0 {
		for _, device := range powerButtons("/sys/class/input") {
			if !watched[device] {
				watched[device] = true
				go func() { pressed <- waitForPress(device) }()
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-pressed:
		if err != nil {
			return err
		}
	}
	const powerOff = syscall.Signal(34 + 4)
	if err := syscall.Kill(1, powerOff); err != nil {
		return fmt.Errorf("powering off: %w", err)
	}
	<-ctx.Done()
	return nil
}

// powerButtons are the input devices with a power key.
func powerButtons(class string) (devices []string) {
	events, _ := filepath.Glob(filepath.Join(class, "event*"))
	for _, event := range events {
		name, err := os.ReadFile(filepath.Join(event, "device/name"))
		text := strings.TrimSpace(string(name))
		if err == nil && (text == "Power Button" || strings.HasPrefix(text, "gpio-keys")) {
			devices = append(devices, filepath.Join("/dev/input", filepath.Base(event)))
		}
	}
	return devices
}

// waitForPress reads key events (struct input_event of linux/input.h, on 64 bits).
func waitForPress(device string) error {
	f, err := os.Open(device)
	if err != nil {
		return fmt.Errorf("watching the power button: %w", err)
	}
	defer f.Close()
	const key, power = 1, 116
	for event := make([]byte, 24); ; {
		if _, err := f.Read(event); err != nil {
			return fmt.Errorf("watching the power button %s: %w", device, err)
		}
		if binary.NativeEndian.Uint16(event[16:]) == key && binary.NativeEndian.Uint16(event[18:]) == power {
			return nil
		}
	}
}
