package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/linnet-dev/linnet/deps"
)

func TestVersionsOfPackagesAreInOrder(t *testing.T) {
	for described, want := range map[string]string{
		"v0.1.0":                  "0.1.0",
		"v0.1.0-rc.1":             "0.1.0~rc.1",
		"v0.1.0-5-gb2626b5":       "0.1.0+5.gb2626b5",
		"v0.1.0-rc.1-5-gb2626b5":  "0.1.0~rc.1+5.gb2626b5",
		"v0.1.0-dirty":            "0.1.0+dirty",
		"v0.1.0-5-gb2626b5-dirty": "0.1.0+5.gb2626b5.dirty",
		"b2626b5":                 "0.0.0~b2626b5",
		"b2626b5-dirty":           "0.0.0~b2626b5.dirty",
		"v1.2.3-beta2-1-g0-dirty": "1.2.3~beta2+1.g0.dirty",
		"release-2026-5-gb2626b5": "0.0.0~release.2026.5.gb2626b5",
		"v0.1.0-5-gb2626b5-other": "0.0.0~0.1.0.5.gb2626b5.other",
	} {
		if have := (release{Version: described}).Package(); have != want {
			t.Errorf("%s is %s as a package, want %s", described, have, want)
		}
	}
}

// Two packages of one tree can have versions that follow each other, and a release cannot have one that its commit has not.
func TestVersionsCanBeNamed(t *testing.T) {
	r := release{Version: "b2626b5-dirty"}
	for _, c := range []struct {
		version    string
		strict     bool
		want       string
		text, hint string
	}{
		{"", false, "b2626b5-dirty", "", ""},
		{"v0.1.0-rc.1", false, "v0.1.0-rc.1", "", ""},
		{"0.1.0", false, "", `-version: "0.1.0" is no version of a release`, "such as v0.1.0, or v0.1.0-rc.1"},
		{"v0.1.0", true, "", "-version: v0.1.0 is not what git describe says, b2626b5-dirty", "git tag"},
		{"", true, "", "b2626b5-dirty: a release is made of a commit, and files have changed since", "git status"},
	} {
		have, err := r.as(c.version, c.strict)
		if c.text != "" {
			wantError(t, err, c.text, c.hint)
		} else if err != nil || have.Version != c.want {
			t.Errorf("%q is %s, %v; want %s", c.version, have.Version, err, c.want)
		}
	}
}

func TestTargetsAreChosenByName(t *testing.T) {
	all, err := chooseTargets(allSystems, allArchs)
	if err != nil || len(all) != 4 {
		t.Errorf("all are %v, %v", all, err)
	}
	one, err := chooseTargets([]string{"darwin"}, []string{"arm64"})
	if err != nil || len(one) != 1 || one[0].String() != "darwin-arm64" {
		t.Errorf("one is %v, %v", one, err)
	}
	for _, c := range []struct {
		systems, archs []string
		want, hint     string
	}{
		{[]string{"windows"}, allArchs, `no release is made for the system "windows"`, "one of linux, darwin"},
		{allSystems, []string{"riscv64"}, `no release is made for the architecture "riscv64"`, "one of amd64, arm64"},
	} {
		_, err := chooseTargets(c.systems, c.archs)
		wantError(t, err, c.want, c.hint)
	}
}

func wantError(t *testing.T, err error, text, hint string) {
	t.Helper()
	h := new(hintError)
	if err == nil || err.Error() != text || !errors.As(err, &h) || h.hint != hint {
		t.Errorf("the error is %v, with the hint %q; want %s, with %s", err, h.hint, text, hint)
	}
}

// other is an architecture that this machine has not.
func other() string {
	if runtime.GOARCH == "amd64" {
		return "arm64"
	}
	return "amd64"
}

func TestComponentsThatAreMissingAreNamed(t *testing.T) {
	d := &dist{root: t.TempDir(), log: new(bytes.Buffer)}
	mine := target{"linux", other()}
	prefix := filepath.Join(d.root, "_output", "components", mine.String())
	if runtime.GOOS == "linux" {
		prefix = filepath.Join(d.root, "libexec", "linnet-"+other())
	}
	_, err := d.parts(mine)
	wantError(t, err, mine.String()+": nerdctl is not there: no "+prefix+"/bin/nerdctl",
		"go run ./deps/build -arch "+other()+" -prefix "+prefix+" nerdctl; ARCH="+runtime.GOARCH+" leaves it out")

	d.components = filepath.Join(d.root, "{os}", "{arch}")
	_, err = d.parts(mine)
	wantError(t, err, mine.String()+": nerdctl is not there: no "+d.root+"/linux/"+other()+"/bin/nerdctl",
		"go run ./deps/build -arch "+other()+" -prefix "+d.root+"/linux/"+other()+" nerdctl; ARCH="+runtime.GOARCH+" leaves it out")
}

func TestMacOSIsMadeWithoutLimactlUnlessItIsARelease(t *testing.T) {
	var log bytes.Buffer
	d := &dist{root: t.TempDir(), log: &log, options: options{components: t.TempDir()}}
	limactl := deps.Program{Package: "cmd/limactl", To: "bin/limactl"}
	lima := deps.Component{Name: "lima"}
	if one, err := d.part(target{"darwin", "arm64"}, lima, limactl); one.from != "" || err != nil {
		t.Errorf("the part is %v, %v", one, err)
	}
	if want := "dist: darwin-arm64: without bin/limactl, which is built on a Mac (installer/macos/limactl.sh): virtual machines need it\n"; log.String() != want {
		t.Errorf("it said %q", log.String())
	}
	d.strict = true
	_, err := d.part(target{"darwin", "arm64"}, lima, limactl)
	wantError(t, err, "darwin-arm64: lima is not there: no "+d.components+"/bin/limactl", "on a Mac: installer/macos/limactl.sh; OS=linux leaves macOS out")
}

// The client is linked with the digest of its image, which goes into the release; without one, no release is made.
func TestTheClientKnowsItsImage(t *testing.T) {
	var log bytes.Buffer
	d := &dist{release: release{Version: "v0.1.0"}, work: t.TempDir(), log: &log, options: options{images: t.TempDir()}}
	amd, arm := target{"linux", "amd64"}, target{"linux", "arm64"}
	write(t, filepath.Join(d.images, "linnet-guest-0.1.0-amd64.tar.zst"), "image", 0o600)
	if err := d.takeImages([]target{amd, arm, {"darwin", "amd64"}}); err != nil {
		t.Fatal(err)
	}
	if want := " -X github.com/linnet-dev/linnet/pkg/guestimage.digestAMD64=sha256:" + hexDigest([]byte("image")); d.imageFlag(amd) != want {
		t.Errorf("the flag is %q", d.imageFlag(amd))
	}
	if text, err := os.ReadFile(filepath.Join(d.work, "linnet-guest-0.1.0-amd64.tar.zst")); err != nil || string(text) != "image" {
		t.Errorf("the release has %q, %v", text, err)
	}
	if want := "dist: no image for guests with arm64: the client knows no digest of one\n"; d.imageFlag(arm) != "" || log.String() != want {
		t.Errorf("the flag is %q, and it said %q", d.imageFlag(arm), log.String())
	}
	d.strict = true
	wantError(t, d.takeImages([]target{arm}), "there is no image for guests with arm64: no "+d.images+"/linnet-guest-0.1.0-arm64.tar.zst", "make pack-image ARCH=arm64")
}

// A test is a Go program, too: of this system, and of no component.
func TestProgramsAreHeldToTheirPinAndSystem(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	mine := target{runtime.GOOS, runtime.GOARCH}
	c := deps.Component{Name: "go-yaml", Module: "github.com/goccy/go-yaml", Version: "v0.0.1"}
	wantError(t, checkProgram(self, c, mine), "go-yaml: "+self+" is not of the pinned v0.0.1", "make deps")
	wantError(t, checkProgram(self, c, target{"plan9", "386"}), "go-yaml: "+self+" is for "+mine.String()+", not for plan9-386", "build it anew")
}

func TestTheSameFilesMakeTheSameArchive(t *testing.T) {
	when := time.Unix(1e9, 0)
	var archives [2][]byte
	for i := range archives {
		stage := t.TempDir()
		for _, name := range [][]string{{"bin/b", "bin/a", "share/c"}, {"share/c", "bin/a", "bin/b"}}[i] {
			write(t, filepath.Join(stage, name), name, 0o700)
		}
		if err := writeList(stage); err != nil {
			t.Fatal(err)
		}
		if err := settle(stage, when); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(t.TempDir(), "archive")
		if err := writeArchive(name, stage, when); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		archives[i] = text
		list, err := os.ReadFile(filepath.Join(stage, listName))
		if want := "bin/a\nbin/b\nlibexec/linnet/files\nshare/c\n"; err != nil || string(list) != want {
			t.Errorf("the list is %q, %v", list, err)
		}
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("two archives of the same files differ")
	}
}

func TestPackagesAskForWhatTheyNeed(t *testing.T) {
	d := &dist{root: "/src", release: release{Version: "v0.1.0", Time: time.Unix(1e9, 0).UTC()}}
	linked := libraries{names: []string{"libseccomp.so.2", "libc.so.6"}, libc: "2.34"}
	for name, want := range map[string]string{
		"deb": "[libc6 (>= 2.34) ca-certificates iptables kmod libseccomp2] [qemu-user-static] [qemu-system openssh-client]",
		"rpm": "[glibc >= 2.34 ca-certificates iptables kmod libseccomp] [qemu-user-static] [qemu-kvm openssh-clients]",
	} {
		for _, p := range packagers {
			if p.name != name {
				continue
			}
			c := d.packageConfig(p, target{"linux", "arm64"}, "/stage", linked)
			if have := strings.Join([]string{list(c["depends"]), list(c["recommends"]), list(c["suggests"])}, " "); have != want {
				t.Errorf("%s: %s, want %s", name, have, want)
			}
			scripts, err := yaml.Marshal(c["scripts"])
			if want := "preremove: /src/installer/packages/preremove.sh\n"; err != nil || string(scripts) != want {
				t.Errorf("%s: the scripts are %s, %v: none may start anything", name, scripts, err)
			}
		}
	}
	if c := d.packageConfig(packagers[0], target{"linux", "arm64"}, "/stage", libraries{}); list(c["depends"]) != "[ca-certificates iptables kmod]" {
		t.Errorf("without libraries: %v", c["depends"])
	}
}

func list(v any) string {
	names, _ := v.([]string)
	return "[" + strings.Join(names, " ") + "]"
}

func TestVersionsOfLibcAreNumbers(t *testing.T) {
	for _, c := range []struct {
		x, y string
		want int
	}{{"2.9", "2.34", -1}, {"2.34", "2.34", 0}, {"2.3.4", "2.3", 1}, {"2.2.5", "", 1}} {
		if have := compareVersions(c.x, c.y); have != c.want {
			t.Errorf("%s against %s is %d, want %d", c.x, c.y, have, c.want)
		}
	}
}

func TestTheFormulaHasEachArchiveWithItsDigest(t *testing.T) {
	p := published{Name: "0.1.0", URL: home + "/releases/download/v0.1.0", Home: home}
	for _, one := range []target{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}} {
		p.Archives = append(p.Archives, archived{one, "linnet-0.1.0-" + one.String() + ".tar.gz", strings.Repeat("ab", 32)})
	}
	name := filepath.Join(t.TempDir(), "linnet.rb")
	if err := renderFile(filepath.Join("..", "linnet.rb.tmpl"), name, 0o644, p); err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "linnet.rb")
	if os.Getenv("UPDATE") != "" {
		write(t, golden, string(have), 0o644)
	}
	want, err := os.ReadFile(golden)
	if err != nil || !bytes.Equal(have, want) {
		t.Errorf("the formula is\n%s\nand testdata has another, %v: make update", have, err)
	}
}

// A removed package starts nothing, and says where what is kept stays; one that is replaced says nothing.
func TestRemovingAPackageSaysWhatStays(t *testing.T) {
	for arg, says := range map[string]bool{"remove": true, "0": true, "upgrade": false, "1": false, "failed-upgrade": false} {
		out, err := output(t, "/bin/sh", filepath.Join("..", "packages", "preremove.sh"), arg)
		if err != nil || strings.Contains(out, "hint: linnet uninstall") != says {
			t.Errorf("%s: it said %q, %v", arg, out, err)
		}
	}
}

// SHA256SUMS has all files and no directory, and what signs it is what verifies it.
func TestDigestsAreSigned(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if out, err := output(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key); err != nil {
		t.Fatal(out, err)
	}
	t.Setenv(envKey, key)
	d := &dist{work: filepath.Join(dir, "work"), log: new(bytes.Buffer)}
	write(t, filepath.Join(d.work, "b"), "b\n", 0o644)
	write(t, filepath.Join(d.work, "a"), "a\n", 0o644)
	write(t, filepath.Join(d.stages(), "c"), "c\n", 0o644)
	if err := d.seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(d.work, sumsName))
	if want := hexDigest([]byte("a\n")) + "  a\n" + hexDigest([]byte("b\n")) + "  b\n"; err != nil || string(sums) != want {
		t.Errorf("%s is %q, %v", sumsName, sums, err)
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "allowed"), "linnet "+string(public), 0o644)
	verify := "ssh-keygen -Y verify -f allowed -I linnet -n linnet-release -s work/SHA256SUMS.sig <work/SHA256SUMS"
	if out, err := output(t, "/bin/sh", "-c", "cd '"+dir+"' && "+verify); err != nil {
		t.Error(out, err)
	}
	write(t, filepath.Join(d.work, sumsName), string(sums)+"\n", 0o644)
	if out, err := output(t, "/bin/sh", "-c", "cd '"+dir+"' && "+verify); err == nil {
		t.Error("other digests are verified too: ", out)
	}
}
