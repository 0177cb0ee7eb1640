//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"golang.org/x/sys/unix"
)

// cidata is what Lima tells the guest.
type cidata struct {
	dir  string
	env  map[string]string // lima.env
	meta struct {
		Hostname string `yaml:"local-hostname"`
	}
	shares []share
	user   struct {
		Users []struct {
			Keys []string `yaml:"ssh-authorized-keys"`
		} `yaml:"users"`
	}
	network struct {
		Ethernets map[string]nic `yaml:"ethernets"`
	}
}

type nic struct {
	Match struct {
		MAC string `yaml:"macaddress"`
	} `yaml:"match"`
	Nameservers struct {
		Addresses []string `yaml:"addresses"`
	} `yaml:"nameservers"`
}

// readCIData waits for the disk, mounts it where Lima's scripts expect it, and reads it.
func readCIData(ctx context.Context, m *modules) (*cidata, error) {
	if !mounted(cidataDir) {
		if err := m.load("virtio_scsi", "sr_mod", "isofs"); err != nil {
			return nil, err
		}
		device, err := findCIData(ctx)
		if err != nil {
			return nil, err
		}
		if err := os.MkdirAll(cidataDir, 0o700); err != nil {
			return nil, fmt.Errorf("making the mount point of cidata: %w", err)
		}
		if err := unix.Mount(device, cidataDir, "iso9660", unix.MS_RDONLY, "mode=0700,dmode=0700,overriderockperm,uid=0"); err != nil {
			return nil, fmt.Errorf("mounting cidata from %s: %w", device, err)
		}
	}
	return parseCIData(cidataDir)
}

// findCIData waits for the ISO 9660 disk that is labelled cidata: a CD in QEMU, a disk in vz.
func findCIData(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		devices, err := os.ReadDir("/sys/block")
		if err != nil {
			return "", fmt.Errorf("listing disks: %w", err)
		}
		for _, d := range devices {
			device := "/dev/" + d.Name()
			if strings.HasPrefix(d.Name(), "sr") || strings.HasPrefix(d.Name(), "vd") || strings.HasPrefix(d.Name(), "sd") {
				if strings.EqualFold(isoLabel(device), "cidata") {
					return device, nil
				}
			}
		}
		select {
		case <-ctx.Done():
			return "", errors.New("finding Lima's cidata disk: there is none")
		case <-time.After(5 * time.Millisecond): // scsi disks come when they come
		}
	}
}

// isoLabel is the volume identifier of an ISO 9660 disk (ECMA-119, 8.4.7), or "".
func isoLabel(device string) string {
	f, err := os.Open(device)
	if err != nil {
		return ""
	}
	defer f.Close()
	volume := make([]byte, 72)
	if _, err := f.ReadAt(volume, 16*2048); err != nil || !bytes.Equal(volume[1:6], []byte("CD001")) {
		return ""
	}
	return strings.TrimRight(string(volume[40:72]), " \x00")
}

func parseCIData(dir string) (*cidata, error) {
	c := &cidata{dir: dir, env: map[string]string{}}
	text, err := os.ReadFile(filepath.Join(dir, "lima.env"))
	if err != nil {
		return nil, fmt.Errorf("reading cidata: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok {
			c.env[strings.TrimPrefix(name, "LIMA_CIDATA_")] = value
		}
	}
	for file, into := range map[string]any{"meta-data": &c.meta, "user-data": &c.user, "network-config": &c.network} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return nil, fmt.Errorf("reading cidata: %w", err)
		}
		if file == "user-data" {
			c.shares, text = takeShares(text)
		}
		if err := yaml.Unmarshal(text, into); err != nil {
			return nil, fmt.Errorf("reading cidata: %s: %w", file, err)
		}
	}
	for _, name := range []string{"USER", "UID", "HOME", "IID"} {
		if c.env[name] == "" {
			return nil, fmt.Errorf("reading cidata: lima.env has no LIMA_CIDATA_%s", name)
		}
	}
	return c, nil
}

// share is a directory that the host shares, by the fields of fstab(5).
type share struct{ tag, dir, kind, options string }

// shareLine is how Lima writes one. It quotes no path, so what is in a path may make it no YAML at all.
var shareLine = regexp.MustCompile(`(?m)^- \[([^,\n]+), (.*), (9p|virtiofs), "?([^"\n]*?)"?, "0", "0"\]\n`)

// takeShares reads the shared directories out of user-data, and returns the rest.
func takeShares(userData []byte) (shares []share, rest []byte) {
	for _, m := range shareLine.FindAllSubmatch(userData, -1) {
		shares = append(shares, share{tag: string(m[1]), dir: string(m[2]), kind: string(m[3]), options: string(m[4])})
	}
	return shares, shareLine.ReplaceAll(userData, nil)
}

// uid is the user's; Lima has checked that it is a number.
func (c *cidata) uid() int {
	n, _ := strconv.Atoi(c.env["UID"])
	return n
}

// dataFiles are the files of `provision: mode: data` entries: the file on cidata by the path that it is for.
func (c *cidata) dataFiles() map[string]string {
	files := map[string]string{}
	for name, path := range c.env {
		if number, ok := strings.CutPrefix(name, "DATAFILE_"); ok {
			if number, ok := strings.CutSuffix(number, "_PATH"); ok {
				files[path] = filepath.Join(c.dir, "provision.data", number)
			}
		}
	}
	return files
}

// mounted reports whether something is mounted at a directory.
func mounted(dir string) bool {
	var at, above unix.Stat_t
	return unix.Stat(dir, &at) == nil && unix.Stat(filepath.Dir(dir), &above) == nil && at.Dev != above.Dev
}
