//go:build linux

package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

func testCIData(t *testing.T) *cidata {
	t.Helper()
	c, err := parseCIData("testdata/cidata")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCIDataIsReadAsLimaWritesIt(t *testing.T) {
	c := testCIData(t)
	if c.env["USER"] != "ada" || c.uid() != 501 || c.meta.Hostname != "lima-default" {
		t.Errorf("user %q, uid %d, host name %q", c.env["USER"], c.uid(), c.meta.Hostname)
	}
	if got := c.network.Ethernets["eth0"]; got.Match.MAC != "52:55:55:6f:a6:0a" || !slices.Equal(got.Nameservers.Addresses, []string{"192.168.5.3"}) {
		t.Errorf("eth0 is %+v", got)
	}
	want := []share{
		{"vz-rosetta", "/mnt/lima-rosetta", "virtiofs", "defaults"},
		{"lima-0123456789abcdef", "/home/ada", "9p", "rw,trans=virtio,version=9p2000.L,msize=131072,cache=mmap,nofail"},
		{"lima-fedcba9876543210", "/srv/a [b]: c", "9p", "ro,trans=virtio,version=9p2000.L,msize=131072,cache=fscache,nofail"},
	}
	if !slices.Equal(c.shares, want) {
		t.Errorf("shares %+v, want %+v", c.shares, want)
	}
	if files := c.dataFiles(); len(files) != 1 || files["/run/linnet/engine.json"] != "testdata/cidata/provision.data/00000000" {
		t.Errorf("data files %v", files)
	}
}

func TestCIDataWithoutAUserIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/cidata")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/lima.env", []byte("LIMA_CIDATA_UID=501\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := parseCIData(dir)
	if want := "reading cidata: lima.env has no LIMA_CIDATA_USER"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestMountOptionsLeaveOutWhatIsForFstab(t *testing.T) {
	for options, want := range map[string]struct {
		flags uintptr
		data  string
	}{
		"defaults":                        {0, ""},
		"rw,trans=virtio,nofail":          {0, "trans=virtio"},
		"ro,nofail":                       {1, ""},
		"ro,trans=virtio,msize=1,nofail,": {1, "trans=virtio,msize=1"},
	} {
		if flags, data := mountOptions(options); flags != want.flags || data != want.data {
			t.Errorf("%s: %d %q, want %d %q", options, flags, data, want.flags, want.data)
		}
	}
}

func check(t *testing.T, file, want string, mode fs.FileMode) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != want {
		t.Errorf("%s is\n%swant\n%s", file, text, want)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != mode {
		t.Errorf("%s has mode %v (%v), want %v", file, info.Mode().Perm(), err, mode)
	}
}

func TestOnlyTheScriptsThatAreNeededAreRun(t *testing.T) {
	c, to := testCIData(t), filepath.Join(t.TempDir(), "cidata")
	for range 2 {
		if err := chooseScripts(c, to); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, pattern := range []string{"*", "*/*"} {
		found, err := filepath.Glob(filepath.Join(to, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			name, _ := filepath.Rel(to, f)
			got = append(got, name)
		}
	}
	want := []string{"boot.Linux", "boot.sh", "etc_environment", "lima.env", "meta-data", "network-config", "provision.data", "user-data", "util"}
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("there is no %s", name)
		}
	}
	var scripts []string
	for _, name := range got {
		if strings.HasPrefix(name, "boot.") && strings.HasSuffix(name, ".sh") && name != "boot.sh" {
			scripts = append(scripts, name)
		}
	}
	if want := []string{"boot.Linux/26-host-services.sh", "boot.Linux/27-of-a-later-lima.sh"}; !slices.Equal(scripts, want) {
		t.Errorf("scripts %q, want %q", scripts, want)
	}
}

func TestTheHostsEnvironmentIsHandedOn(t *testing.T) {
	got, err := hostEnvironment("testdata/cidata/etc_environment")
	if want := "HTTPS_PROXY=\"http://192.168.5.2:3128\"\nno_proxy=\"localhost,.example\"\n"; err != nil || got != want {
		t.Errorf("%s (%v), want %s", got, err, want)
	}
}

func TestLimasAgentListensWhereLimaLooks(t *testing.T) {
	c := testCIData(t)
	for _, x := range []struct{ vsock, virtio, want string }{
		{"0", "", "--socket-owner 501"},
		{"2222", "", "--vsock-port 2222"},
		{"0", "io.lima-vm.guest_agent.0", "--virtio-port io.lima-vm.guest_agent.0"},
	} {
		c.env["VSOCK_PORT"], c.env["VIRTIO_PORT"] = x.vsock, x.virtio
		if got := guestAgentArgs(c); got != x.want {
			t.Errorf("%+v: %s", x, got)
		}
	}
}

// A disk with anything on it is never taken for a blank one.
func TestTheDataDiskIsOursOrBlank(t *testing.T) {
	dir := t.TempDir()
	disk := func(name string, at int64, content string) string {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := f.Truncate(16 << 20); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte(content), at); err != nil {
			t.Fatal(err)
		}
		return f.Name()
	}
	adminPrograms(t)
	formatted := func(name, label string) string {
		file := disk(name, 0, "")
		if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-L", label, file).CombinedOutput(); err != nil {
			t.Skipf("mkfs.ext4: %v: %s", err, out)
		}
		return file
	}
	blank, ours, other := disk("blank", 0, ""), formatted("ours", dataLabel), formatted("other", "photos")
	front, end := disk("front", 512, "x"), disk("end", 16<<20-512, "EFI PART")
	small := filepath.Join(dir, "small")
	if err := os.WriteFile(small, bytes.Repeat([]byte{0}, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		devices []string
		device  string
		blank   bool
		err     string
	}{
		{[]string{blank}, blank, true, ""},
		{[]string{other, blank, ours}, ours, false, ""},
		{[]string{other, blank}, blank, true, ""},
		{[]string{other}, "", false, "finding the data disk: " + other + " is not empty and not linnet's"},
		{[]string{front, end, small}, "", false, "finding the data disk: " + front + ", " + end + ", " + small + " is not empty and not linnet's"},
		{nil, "", false, "finding the data disk: there is none"},
	} {
		device, isBlank, err := chooseDataDisk(x.devices)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if device != x.device || isBlank != x.blank || text != x.err {
			t.Errorf("%q: %s %v %s, want %s %v %s", x.devices, device, isBlank, text, x.device, x.blank, x.err)
		}
	}
}

func TestASuperblockSaysItsSize(t *testing.T) {
	adminPrograms(t)
	file := filepath.Join(t.TempDir(), "disk")
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-L", "a label", file, "32M").CombinedOutput(); err != nil {
		t.Skipf("mkfs.ext4: %v: %s", err, out)
	}
	if sb, err := readExt4(file); err != nil || sb != (ext4{label: "a label", size: 32 << 20}) {
		t.Errorf("%+v (%v)", sb, err)
	}
}

func TestModulesAreNamedAsTheKernelDoes(t *testing.T) {
	for file, want := range map[string]string{"kernel/drivers/char/hw_random/virtio-rng.ko": "virtio_rng", "kernel/fs/9p/9p.ko": "9p"} {
		if got := moduleName(file); got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
}

// sshd has the key that the host has made, and none of its own making.
func TestTheHostKeyIsTheHosts(t *testing.T) {
	to := filepath.Join(t.TempDir(), "key")
	if err := hostKey(testCIData(t), to); err == nil || err.Error() != "there is none on cidata: a machine is started by linnet" {
		t.Errorf("without one: %v", err)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(block))
	c := &cidata{dir: t.TempDir(), env: map[string]string{"DATAFILE_00000000_PATH": hostKeyFile}}
	for given, want := range map[string]string{"": "reading cidata: ssh: no key found", text: ""} {
		if err := write(filepath.Join(c.dir, "provision.data/00000000"), given, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := hostKey(c, to); (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%d bytes: %v, want %q", len(given), err, want)
		}
	}
	check(t, to, text, 0o600)
}
