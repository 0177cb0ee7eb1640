//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	runDir     = "/run/linnet"
	scriptsDir = runDir + "/cidata"
	// hostKeyFile is sshd's private key (pkg/lima, GuestHostKey, and sshd_config).
	hostKeyFile = runDir + "/ssh_host_ed25519_key"
	// hiddenFile names what nothing in the machine is to see (pkg/lima, GuestHidden).
	hiddenFile = runDir + "/hidden"
)

// handOver leaves in /run/linnet what the agent needs.
func handOver(c *cidata) error {
	environment, err := hostEnvironment(filepath.Join(c.dir, "etc_environment"))
	if err != nil {
		return err
	}
	if err := write("/etc/environment", environment, 0o644); err != nil {
		return err
	}
	environment += fmt.Sprintf("LINNET_OWNER=%d:%d\n", c.uid(), c.uid())
	errs := []error{
		write(filepath.Join(runDir, "environment"), environment, 0o644),
		write(filepath.Join(runDir, "lima"), "LIMA_GUESTAGENT_ARGS="+guestAgentArgs(c)+"\n", 0o644),
		write(filepath.Join(runDir, "docker/config.json"), `{"credsStore":"linnet"}`+"\n", 0o644),
	}
	for path, source := range c.dataFiles() {
		if !strings.HasPrefix(path, runDir+"/") {
			continue // Lima's own script puts it there
		}
		text, err := os.ReadFile(source)
		if err == nil {
			err = write(path, string(text), 0o600)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// guestAgentArgs says where Lima's guest agent is to listen; Lima's own script decides likewise.
func guestAgentArgs(c *cidata) string {
	switch {
	case c.env["VSOCK_PORT"] != "" && c.env["VSOCK_PORT"] != "0":
		return "--vsock-port " + c.env["VSOCK_PORT"]
	case c.env["VIRTIO_PORT"] != "":
		return "--virtio-port " + c.env["VIRTIO_PORT"]
	}
	return "--socket-owner " + c.env["UID"]
}

// hostEnvironment are the variables that Lima hands on from the host, proxies above all, as
// an EnvironmentFile= of systemd.
func hostEnvironment(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("reading cidata: %w", err)
	}
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			fmt.Fprintf(&out, "%s=%q\n", name, strings.Trim(value, `"'`))
		}
	}
	return out.String(), nil
}

// setClock sets the clock of a machine that has none (vz's has none when it boots a kernel directly), from the
// instance's id, which is the second of its start. Lima's agent corrects it later.
func setClock(c *cidata) error {
	seconds, err := strconv.ParseInt(strings.TrimPrefix(c.env["IID"], "iid-"), 10, 64)
	if err != nil || time.Now().Unix() >= seconds {
		return nil //nolint:nilerr // no second in it; and a clock that is later than the start is one that goes
	}
	return syscall.Settimeofday(&syscall.Timeval{Sec: seconds})
}

// skipped are those of Lima's boot scripts that would do again, slowly, what is done, or what this guest
// has no need for.
var skipped = []string{
	"00-alpine-user-group.sh",      // for another system
	"01-alpine-ash-as-bash.sh",     // likewise
	"10-alpine-prep.sh",            // likewise
	"10-alpine-cgroups.sh",         // likewise
	"00-check-rtc-and-wait-ntp.sh", // the clock is set here, and kept by Lima's agent
	"00-modprobe.sh",               // the kernel loads what is used
	"00-reboot-if-required.sh",     // nothing is ever upgraded
	"00-systemd-user-group.sh",     // there is no journal to share
	"04-persistent-data-volume.sh", // for images that run from memory
	"05-guest-home.sh",             // a link for homes of older versions
	"05-lima-disks.sh",             // would want partitions on the data disk
	"05-lima-mounts.sh",            // repairs an fstab that is not there
	"06-enable-mdns-on-systemd.sh", // for resolved
	"06-etc-hosts.sh",              // done here
	"07-etc-environment.sh",        // done here
	"08-shell-prompt.sh",           // decoration
	"09-host-dns-setup.sh",         // done here in one step
	"11-colorterm-environment.sh",  // sshd's configuration has it
	"20-rootless-base.sh",          // for a containerd of Lima's
	"25-guestagent-base.sh",        // lima-guestagent.service
	"30-install-packages.sh",       // all is there
	"35-setup-packages.sh",         // done here
	"40-install-containerd.sh",     // all is there
}

// chooseScripts makes a cidata of links, without the scripts that are skipped, from which
// linnet-lima.service runs Lima's boot scripts. What a later Lima adds is run.
func chooseScripts(c *cidata, to string) error {
	dirs := []string{"boot.Linux", "boot.essential.Linux"}
	if err := link(c.dir, to, dirs); err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := link(filepath.Join(c.dir, dir), filepath.Join(to, dir), skipped); err != nil {
			return err
		}
	}
	return nil
}

// link makes a directory of links to what another one has, but for some. It makes none that would be empty: Lima's
// script would run "*.sh" in there.
func link(from, to string, skip []string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("reading cidata: %w", err)
	}
	for _, e := range entries {
		if slices.Contains(skip, e.Name()) {
			continue
		}
		err := os.MkdirAll(to, 0o700)
		if err == nil {
			err = os.Symlink(filepath.Join(from, e.Name()), filepath.Join(to, e.Name()))
		}
		if err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("choosing Lima's scripts: %w", err)
		}
	}
	return nil
}

// limaReady says to Lima at once what its own scripts would say much later: that no session will be ended
// again, and that sshfs may be used.
func limaReady(c *cidata) error {
	return errors.Join(
		write("/run/lima-ssh-ready", c.env["IID"]+"\n", 0o644),
		write("/run/lima-fuse-ready", c.env["IID"]+"\n", 0o644),
	)
}
