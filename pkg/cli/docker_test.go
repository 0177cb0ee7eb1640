package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/settings"
)

// fakeDocker is docker's command line as far as `context use` goes: it writes config.json anew, and answers as docker does.
func fakeDocker() int {
	if len(os.Args) != 4 || os.Args[1] != "context" || os.Args[2] != "use" || os.Getenv("DOCKER_FAKE_FAILS") != "" {
		fmt.Fprintf(os.Stderr, "docker: what is %q\n", os.Args[1:])
		return 5
	}
	name := os.Args[3]
	path := filepath.Join(os.Getenv("HOME"), ".docker", "config.json")
	config := map[string]any{}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &config)
	}
	if config["currentContext"] = name; name == "default" {
		delete(config, "currentContext")
	}
	if text, jsonErr := json.Marshal(config); err == nil || errors.Is(err, fs.ErrNotExist) {
		err = errors.Join(jsonErr, os.WriteFile(path, text, 0o600))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(name)
	fmt.Fprintf(os.Stderr, "Current context is now %q\n", name)
	return 0
}

// fakeSudo tells what it was given, and runs it by the system's PATH as the user that it is.
func fakeSudo() int {
	fmt.Fprintf(os.Stderr, "sudo was given %q\n", os.Args[1:])
	if os.Getenv("SUDO_FAKE_REFUSES") != "" {
		return 1
	}
	if err := os.Setenv("PATH", "/usr/bin:/bin"); err != nil {
		return 2
	}
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	return 0
}

// A plan is what it comes to, its commands, or the error with its hint.
func planText(plan linkPlan, err error) string {
	if err != nil {
		return err.Error() + "\n" + hint.Of(err)
	}
	return strings.Join(append([]string{plan.Says}, plan.lines()...), "\n")
}

func TestPlansOfTheLink(t *testing.T) {
	const (
		does    = "see whether another engine needs it before you remove it; linnet docker context and linnet docker env do without"
		removes = "linnet docker disable removes the link alone that linnet docker enable makes"
	)
	const link, socket = fs.ModeSymlink | 0o777, fs.ModeSocket | 0o660
	linux := linkPlace{Path: "/var/run/docker.sock", Socket: "/home/ada/.linnet/docker.sock"}
	root := linkPlace{Path: "/var/run/docker.sock", Socket: "/root/.linnet/docker.sock", Root: true}
	darwin := linkPlace{Path: "/var/run/docker.sock", Socket: "/Users/ada/.linnet/docker.sock"}
	with := func(p linkPlace, owner string, mode fs.FileMode, target, answers string) linkPlace {
		p.Owner, p.Mode, p.Target, p.Answers = owner, mode, target, answers
		return p
	}
	spaced := darwin
	spaced.Socket = "/Volumes/My Disk/l/docker.sock"
	for name, c := range map[string]struct {
		place           linkPlace
		enable, disable string
	}{
		"linux, nothing there": {
			linux,
			"/var/run/docker.sock will lead to /home/ada/.linnet/docker.sock until this machine restarts\nsudo ln -s /home/ada/.linnet/docker.sock /var/run/docker.sock",
			"there is no /var/run/docker.sock",
		},
		"linux as root, nothing there": {
			root,
			"/var/run/docker.sock will lead to /root/.linnet/docker.sock until this machine restarts\nln -s /root/.linnet/docker.sock /var/run/docker.sock",
			"there is no /var/run/docker.sock",
		},
		"darwin, nothing there": {
			darwin,
			"/var/run/docker.sock will lead to /Users/ada/.linnet/docker.sock until this machine restarts\nsudo ln -s /Users/ada/.linnet/docker.sock /var/run/docker.sock",
			"there is no /var/run/docker.sock",
		},
		"a home with a space": {
			spaced,
			"/var/run/docker.sock will lead to /Volumes/My Disk/l/docker.sock until this machine restarts\nsudo ln -s '/Volumes/My Disk/l/docker.sock' /var/run/docker.sock",
			"there is no /var/run/docker.sock",
		},
		"linux, our link": {
			with(linux, "root (uid 0)", link, linux.Socket, "where no process listens"),
			"/var/run/docker.sock leads to /home/ada/.linnet/docker.sock already",
			"/var/run/docker.sock will no longer lead to /home/ada/.linnet/docker.sock\nsudo rm /var/run/docker.sock",
		},
		"linux as root, our link": {
			with(root, "root (uid 0)", link, root.Socket, "where a process listens"),
			"/var/run/docker.sock leads to /root/.linnet/docker.sock already",
			"/var/run/docker.sock will no longer lead to /root/.linnet/docker.sock\nrm /var/run/docker.sock",
		},
		"linux, a docker that runs": {
			with(linux, "root (uid 0)", socket, "", "where a process listens"),
			"/var/run/docker.sock is a socket, where a process listens; it belongs to root (uid 0)\n" + does,
			"/var/run/docker.sock is a socket, where a process listens; it belongs to root (uid 0)\n" + removes,
		},
		"linux, a docker that has ended": {
			with(root, "root (uid 0)", socket, "", "where no process listens"),
			"/var/run/docker.sock is a socket, where no process listens; it belongs to root (uid 0)\n" + does,
			"/var/run/docker.sock is a socket, where no process listens; it belongs to root (uid 0)\n" + removes,
		},
		"linux, made by a bind mount of what was missing": {
			with(root, "root (uid 0)", fs.ModeDir|0o755, "", "where no process listens"),
			"/var/run/docker.sock is a directory; it belongs to root (uid 0)\n" + does,
			"/var/run/docker.sock is a directory; it belongs to root (uid 0)\n" + removes,
		},
		"darwin, another engine's link": {
			with(darwin, "root (uid 0)", link, "/Users/ada/.docker/run/docker.sock", "which is not there"),
			"/var/run/docker.sock is a link to /Users/ada/.docker/run/docker.sock, which is not there; it belongs to root (uid 0)\n" + does,
			"/var/run/docker.sock is a link to /Users/ada/.docker/run/docker.sock, which is not there; it belongs to root (uid 0)\n" + removes,
		},
		"darwin, the link of another user's linnet": {
			with(darwin, "root (uid 0)", link, "/Users/bob/.linnet/docker.sock", "which you may not use"),
			"/var/run/docker.sock is a link to /Users/bob/.linnet/docker.sock, which you may not use; it belongs to root (uid 0)\n" + does,
			"/var/run/docker.sock is a link to /Users/bob/.linnet/docker.sock, which you may not use; it belongs to root (uid 0)\n" + removes,
		},
	} {
		if got := planText(c.place.enable()); got != c.enable {
			t.Errorf("%s: enable:\n%s\nwant\n%s", name, got, c.enable)
		}
		if got := planText(c.place.disable()); got != c.disable {
			t.Errorf("%s: disable:\n%s\nwant\n%s", name, got, c.disable)
		}
	}
}

func TestWordsAreQuotedForTheShellThatReadsThem(t *testing.T) {
	for _, c := range []struct{ host, posix, fish string }{
		{"unix:///home/a/.linnet/docker.sock", "unix:///home/a/.linnet/docker.sock", "unix:///home/a/.linnet/docker.sock"},
		{"unix:///a b/docker.sock", "'unix:///a b/docker.sock'", "'unix:///a b/docker.sock'"},
		{"unix:///it's/$x", `'unix:///it'\''s/$x'`, `'unix:///it\'s/$x'`},
		{`unix:///a\b`, `'unix:///a\b'`, `'unix:///a\\b'`},
	} {
		for _, shell := range []string{"bash", "zsh", "dash", ""} {
			if got, want := exportText(shell, c.host), "export DOCKER_HOST="+c.posix+"\n# eval \"$(linnet docker env)\"\n"; got != want {
				t.Errorf("%s: %q, want %q", shell, got, want)
			}
		}
		if got, want := exportText("fish", c.host), "set -gx DOCKER_HOST "+c.fish+"\n# linnet docker env | source\n"; got != want {
			t.Errorf("fish: %q, want %q", got, want)
		}
	}
}

func TestAnAPIThatIsTurnedOff(t *testing.T) {
	entry := func(value string) []settings.Entry {
		return []settings.Entry{
			{Key: "backend", Value: "off"},
			{Key: "docker.socket", Value: value, Source: settings.Source{From: settings.FromFile, Name: "~/.linnet/linnet.yaml", Line: 3}},
		}
	}
	if err := refuseOff("docker env", entry("on")); err != nil {
		t.Error(err)
	}
	const want = "linnet: docker env: Docker's API is turned off: docker.socket is off (~/.linnet/linnet.yaml:3)\nhint: set docker.socket to on, and restart the engine\n"
	if got := errorText(refuseOff("docker env", entry("off"))); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
