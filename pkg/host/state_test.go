package host_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

func home(t *testing.T, version string) host.Layout {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l := host.Layout{Home: dir}
	if version != "" {
		if err := os.WriteFile(l.Version(), []byte(version), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func TestHomesOfThisAndOfOlderVersionsAreTaken(t *testing.T) {
	for _, version := range []string{"", "1\n", "1"} {
		l := home(t, version)
		if err := l.CheckVersion(); err != nil {
			t.Errorf("%q: %v", version, err)
		}
		if err := l.KeepVersion(); err != nil {
			t.Errorf("%q: %v", version, err)
		}
		if text, err := os.ReadFile(l.Version()); err != nil || string(text) != "1\n" {
			t.Errorf("%q: the file then says %q, %v", version, text, err)
		}
	}
	if err := (host.Layout{Home: "/nowhere/at/all"}).CheckVersion(); err != nil {
		t.Errorf("a home that is not there: %v", err)
	}
}

func TestHomesOfLaterVersionsAreRefused(t *testing.T) {
	for version, want := range map[string][2]string{
		"2\n": {"using LINNET_HOME <home>: a later linnet made it: its state has version 2, and this linnet knows 1", "install the later linnet again, or set LINNET_HOME to another directory"},
		"one": {`reading <home>/version: "one" is no version of linnet's state`, "restore the file, or remove it where no later linnet has been here"},
		"-1":  {`reading <home>/version: "-1" is no version of linnet's state`, "restore the file, or remove it where no later linnet has been here"},
	} {
		l := home(t, version)
		for _, err := range []error{l.CheckVersion(), l.KeepVersion()} {
			if err == nil || err.Error() != strings.Replace(want[0], "<home>", l.Home, 1) || hint.Of(err) != want[1] {
				t.Errorf("%q: %v, hint %q", version, err, hint.Of(err))
			}
		}
		if text, err := os.ReadFile(l.Version()); err != nil || string(text) != version {
			t.Errorf("%q: the file was changed to %q, %v", version, text, err)
		}
	}
}

func TestTheVersionIsNoLink(t *testing.T) {
	l := home(t, "")
	if err := os.Symlink("/etc/hostname", l.Version()); err != nil {
		t.Fatal(err)
	}
	var distrust *host.DistrustError
	if err := l.CheckVersion(); !errors.As(err, &distrust) {
		t.Errorf("a link: %v", err)
	}
}

// The version goes with the last engine, and the home with it unless something else is there.
func TestTheVersionGoesWithTheLastEngine(t *testing.T) {
	l := home(t, "1\n")
	if err := os.MkdirAll(l.LimaHome(), 0o700); err != nil {
		t.Fatal(err)
	}
	host.ForgetHome(l)
	if _, err := os.Stat(l.Version()); err != nil {
		t.Errorf("an engine is left, and the version is not: %v", err)
	}
	if err := errors.Join(os.Remove(l.LimaHome()), os.WriteFile(l.Settings(), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	host.ForgetHome(l)
	if _, err := os.Stat(l.Version()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no engine is left, and the version is: %v", err)
	}
	if _, err := os.Stat(l.Settings()); err != nil {
		t.Errorf("the settings: %v", err)
	}
	if err := os.Remove(l.Settings()); err != nil {
		t.Fatal(err)
	}
	host.ForgetHome(l)
	if _, err := os.Stat(l.Home); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty home is left: %v", err)
	}
}

// A home that cannot be one is an error of what needs it, which says more.
func TestAHomeThatIsAFileHasNoVersion(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, home := range []string{file, filepath.Join(file, "home")} {
		if err := (host.Layout{Home: home}).CheckVersion(); err != nil {
			t.Errorf("%s: %v", home, err)
		}
	}
}
