package main

import (
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/deps"
)

// contents are the lines of installer/macos/contents.txt for a processor.
func contents(t *testing.T, arch string) (names []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "macos", "contents.txt"))
	if err != nil {
		t.Fatal(err)
	}
	machine := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[arch]
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			names = append(names, strings.ReplaceAll(strings.TrimSpace(line), "{machine}", machine))
		}
	}
	return names
}

// What stage puts into an archive for macOS is what contents.txt lists.
func TestTheListOfMacOSIsWhatIsMade(t *testing.T) {
	for _, arch := range allArchs {
		mac := target{"darwin", arch}
		made := []string{listName, "share/man/man1/*", docDir + "/commands.md"}
		for _, name := range []string{"bash-completion/completions/linnet", "fish/vendor_completions.d/linnet.fish", zshFunctions + "/_linnet"} {
			made = append(made, "share/"+name)
		}
		for _, name := range clients {
			made = append(made, "bin/"+name)
		}
		programs := mac.programs()
		for _, name := range slices.Sorted(maps.Keys(programs)) {
			made = append(made, programs[name]+"/"+name)
		}
		all, err := deps.Load()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			for _, p := range c.Programs {
				if c.For(deps.VM) {
					made = append(made, "libexec/linnet/"+p.File(arch))
				}
			}
		}
		for _, paper := range papers {
			if path.Dir(paper) == "docs" {
				paper = "docs/*"
			}
			made = append(made, docDir+"/"+paper)
		}
		slices.Sort(made)
		if made, want := slices.Compact(made), contents(t, arch); !slices.Equal(made, want) {
			t.Errorf("%s: an archive holds\n%s\nand contents.txt lists\n%s", mac, strings.Join(made, "\n"), strings.Join(want, "\n"))
		}
	}
}

// pkg.sh runs here with programs that stand for Apple's: they only make the files that they are asked for.
func TestThePackageOfMacOSHoldsTheArchiveAndNothingElse(t *testing.T) {
	apple := t.TempDir()
	for _, name := range []string{"pkgbuild", "productbuild", "codesign"} {
		write(t, filepath.Join(apple, name), "#!/bin/sh\necho \""+name+" $*\" >>\"$SAID\"\nfor last; do :; done\n[ "+name+" = codesign ] || : >\"$last\"\n", 0o755)
	}
	t.Setenv("PATH", apple+":"+os.Getenv("PATH"))
	said := filepath.Join(t.TempDir(), "said")
	t.Setenv("SAID", said)
	t.Setenv("LINNET_SIGN_IDENTITY", "Developer ID Application: A")
	t.Setenv("LINNET_PKG_IDENTITY", "Developer ID Installer: A")
	archive := filepath.Join(t.TempDir(), "linnet-0.1.0-darwin-arm64.tar.gz")
	pack := func(names []string) {
		stage := t.TempDir()
		for _, name := range names {
			write(t, filepath.Join(stage, strings.ReplaceAll(name, "*", "a.page")), "x", 0o755)
		}
		_ = os.Remove(archive)
		if err := writeArchive(archive, stage, time.Unix(1e9, 0)); err != nil {
			t.Fatal(err)
		}
	}
	script := filepath.Join("..", "macos", "pkg.sh")

	pack(append(contents(t, "arm64"), "bin/other"))
	if out, err := output(t, "/bin/sh", script, archive); err == nil || !strings.Contains(out, "> bin/other\npkg: "+archive+" does not hold what contents.txt lists\nhint: ") {
		t.Errorf("with another file: %v, %s", err, out)
	}
	pack(contents(t, "amd64"))
	if out, err := output(t, "/bin/sh", script, archive); err == nil || !strings.Contains(out, "< libexec/linnet/share/lima/lima-guestagent.Linux-aarch64\n") {
		t.Errorf("with another processor's files: %v, %s", err, out)
	}
	if _, err := os.Stat(said); err == nil {
		t.Error("something was packed or signed")
	}

	pack(contents(t, "arm64"))
	out, err := output(t, "/bin/sh", script, archive)
	if want := "pkg: " + strings.TrimSuffix(archive, ".tar.gz") + ".pkg\n"; err != nil || out != want {
		t.Errorf("%v, %s, want %s", err, out, want)
	}
	text, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"/limactl.entitlements --sign Developer ID Application: A ", "/root/bin/linnet\n", "--identifier dev.linnet.linnet --version 0.1.0 --install-location /usr/local",
		"--sign Developer ID Installer: A --timestamp",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("none of the calls has %q: %s", want, text)
		}
	}
}

// The scripts for a Mac say on other systems what is wrong, and the list of entitlements is XML that has the one it is for.
func TestLimactlIsBuiltOnAMac(t *testing.T) {
	bin := t.TempDir()
	write(t, filepath.Join(bin, "uname"), "#!/bin/sh\necho Linux\n", 0o755)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	out, err := output(t, "/bin/sh", filepath.Join("..", "macos", "limactl.sh"))
	if want := "limactl: limactl is built on a Mac, and this is Linux\nhint: make dist leaves it out elsewhere, and says so\n"; err == nil || out != want {
		t.Errorf("%v, %s", err, out)
	}
	text, err := os.ReadFile(filepath.Join("..", "macos", "limactl.entitlements"))
	if err != nil || !strings.Contains(string(text), "<key>com.apple.security.virtualization</key>\n\t<true/>") {
		t.Errorf("the entitlements are %s, %v", text, err)
	}
}
