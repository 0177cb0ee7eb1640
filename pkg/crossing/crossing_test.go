package crossing_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/crossing"
	"github.com/linnet-dev/linnet/pkg/hint"
)

var errHidden = errors.New("not visible in the guest")

// before is a host before a virtual machine: the home directory is visible in its place, /shared elsewhere, /fixed is
// read-only, and nothing else is visible.
func before() crossing.Host {
	env := map[string]string{"SET": "value\nof two lines", "EMPTY": ""}
	return crossing.Host{
		Dir: "/home/me/app", Home: "/home/me",
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		Visible: func(path string) (string, bool, error) {
			switch top, rest, _ := strings.Cut(path[1:], "/"); top {
			case "home":
				return path, false, nil
			case "shared":
				return filepath.Join("/mnt/shared", rest), false, nil
			case "fixed":
				return path, true, nil
			case "odd":
				return "/mnt/a,b:c", false, nil
			}
			return "", false, errHidden
		},
		IsDir:   func(path string) bool { return strings.HasSuffix(path, "dir") },
		Environ: func() []string { return []string{"SET=1", "LC_ALL=C", "SET=2", "bare", "=x", "COMPOSE_FILE=y"} },
	}
}

func onStage(name string) string { return "/stage/" + name }

func TestPaths(t *testing.T) {
	m := crossing.New(before())
	readable := func(s string) (string, error) { return m.Readable(s), nil }
	writable := func(s string) (string, error) { return m.Writable(s, false), nil }
	visible := func(s string) (string, error) { return m.Visible(s, false, true) }
	written := func(s string) (string, error) { return m.Visible(s, true, false) }
	for _, c := range []struct {
		what        string
		by          func(string) (string, error)
		typed, want string
	}{
		{"readable", readable, "", ""},
		{"readable", readable, "-", "-"},
		{"readable", readable, "a", "a"},
		{"readable", readable, "/home/me/./a", "/home/me/./a"},
		{"readable", readable, "~/a", "/home/me/a"},
		{"readable", readable, "~", "/home/me"},
		{"readable", readable, "~x", "~x"},
		{"readable", readable, "/shared/a", "/mnt/shared/a"},
		{"readable", readable, "/etc/a", "/stage/in0-a"},
		{"readable", readable, "/etc/../etc/a", "/stage/in0-a"},
		{"readable", readable, "/etc/b", "/stage/in1-b"},
		{"writable", writable, "", ""},
		{"writable", writable, "a", "a"},
		{"writable", writable, "/fixed/a", "/stage/out0-a"},
		{"writable", writable, "/tmp/a", "/stage/out1-a"},
		{"visible", visible, "", ""},
		{"visible", visible, "-", "-"},
		{"visible", visible, "../a", "../a"},
		{"visible", visible, "~/a", "/home/me/a"},
		{"visible", visible, "/fixed/a", "/fixed/a"},
		{"visible", visible, "/tmp/a", "! not visible in the guest"},
		{"written", written, "~/a", "~/a"},
		{"written", written, "/fixed/a", "! /fixed/a is read-only for the engine"},
	} {
		got, err := c.by(c.typed)
		if err != nil {
			got = "! " + err.Error()
		}
		if got = m.Plan().Fill(got, onStage); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.what, c.typed, got, c.want)
		}
	}
	want := crossing.Plan{
		Dir:      "/home/me/app",
		Stage:    []crossing.StagedFile{{Name: "in0-a", Host: "/etc/a"}, {Name: "in1-b", Host: "/etc/b"}},
		CopyBack: []crossing.BackFile{{Name: "out0-a", Host: "/fixed/a"}, {Name: "out1-a", Host: "/tmp/a"}},
	}
	if got := m.Plan(); !reflect.DeepEqual(*got, want) || got.Direct() {
		t.Errorf("have %+v\nwant %+v", *got, want)
	}
}

// A relative path means another in the guest where the working directory is elsewhere, or not there.
func TestTheWorkingDirectory(t *testing.T) {
	for dir, want := range map[string][2]string{"/home/me": {"x", "/home/me"}, "/shared/y": {"/mnt/shared/y/x", "/mnt/shared/y"}, "/tmp": {"/stage/in0-x", ""}} {
		h := before()
		h.Dir = dir
		m := crossing.New(h)
		if got := m.Plan().Fill(m.Readable("x"), onStage); got != want[0] || m.Plan().Dir != want[1] || (m.DirError() == nil) != (want[1] != "") {
			t.Errorf("%s: %q in %q, %v", dir, got, m.Plan().Dir, m.DirError())
		}
	}
}

func TestWhatMakesAPlanIndirect(t *testing.T) {
	for name, do := range map[string]func(*crossing.Mapper){
		"stage":   func(m *crossing.Mapper) { m.Stage("/etc/a", true) },
		"back":    func(m *crossing.Mapper) { m.Writable("/etc/a", true) },
		"reserve": func(m *crossing.Mapper) { m.Plan().Reserve("cid") },
		"stdin":   func(m *crossing.Mapper) { m.Archive("/etc/a", false, true) },
		"stdout":  func(m *crossing.Mapper) { m.Archive("/etc/a", true, true) },
	} {
		m := crossing.New(before())
		if !m.Plan().Direct() || m.Plan().Staged() {
			t.Errorf("%s: %+v is not direct", name, m.Plan())
		}
		do(m)
		if m.Plan().Direct() || m.Plan().Staged() == strings.HasPrefix(name, "std") {
			t.Errorf("%s: direct %v, staged %v", name, m.Plan().Direct(), m.Plan().Staged())
		}
	}
}

func TestFilesKeepTheirNamesApart(t *testing.T) {
	m := crossing.New(before())
	words := []string{m.Stage("/etc/a", true), m.Stage("/etc/a", false), m.Stage("/etc/a", true), m.Plan().Reserve("cid")}
	for i, want := range []string{"/stage/a", "/stage/in1-a", "/stage/a", "/stage/cid"} {
		if got := m.Plan().Fill("x="+words[i], onStage); got != "x="+want {
			t.Errorf("%d: %q, want %q", i, got, want)
		}
	}
}

func TestArchives(t *testing.T) {
	for _, c := range []struct {
		typed       string
		write, keep bool
		value, file string
	}{
		{"", true, true, "", ""},
		{"a.tar", false, true, "a.tar", ""},
		{"~/a.tar", true, true, "/home/me/a.tar", ""},
		{"/fixed/a.tar", false, true, "/fixed/a.tar", ""},
		{"/fixed/a.tar", true, false, "", "out /fixed/a.tar"},
		{"/tmp/a.tar", false, false, "", "in /tmp/a.tar"},
	} {
		m := crossing.New(before())
		value, keep := m.Archive(c.typed, c.write, true)
		file := ""
		if f := m.Plan().Stdin; f != nil {
			file = "in " + f.Path
		}
		if f := m.Plan().Stdout; f != nil {
			file += "out " + f.Path
		}
		if value != c.value || keep != c.keep || file != c.file {
			t.Errorf("%+v: %q, %v, %q", c, value, keep, file)
		}
	}
}

func TestBinds(t *testing.T) {
	m := crossing.New(before())
	for _, c := range []struct {
		by          func(string) (string, error)
		value, want string
	}{
		{m.Volume, "data:/x", "data:/x"},
		{m.Volume, "/x", "/x"},
		{m.Volume, "./a:/x:ro", "./a:/x:ro"},
		{m.Volume, "/shared/a:/x:ro", "/mnt/shared/a:/x:ro"},
		{m.Volume, "~/a:/x", "/home/me/a:/x"},
		{m.Volume, "/tmp/a:/x", "! not visible in the guest"},
		{m.Volume, "/odd:/x", `! mounting /mnt/a,b:c: a path with ":" in it cannot be mounted`},
		{m.Mount, "type=bind,SRC=/shared/a,dst=/x", "type=bind,SRC=/mnt/shared/a,dst=/x"},
		{m.Mount, "type=volume,source=data,dst=/x", "type=volume,source=data,dst=/x"},
		{m.Mount, "Type=Tmpfs,src=/tmp/a", "Type=Tmpfs,src=/tmp/a"},
		{m.Mount, "type=bind,src=/odd,dst=/x", `! mounting /mnt/a,b:c: a path with "," in it cannot be mounted`},
		{m.Mount, "type=bind,src=,dst=/x", "type=bind,src=,dst=/x"},
	} {
		got, err := c.by(c.value)
		if err != nil {
			got = "! " + err.Error()
		}
		if got != c.want {
			t.Errorf("%q: %q, want %q", c.value, got, c.want)
		}
	}
}

func TestVariables(t *testing.T) {
	m := crossing.New(before())
	for _, typed := range []string{"A=1", "SET", "B", "A=2", "EMPTY"} {
		if err := m.Variable(typed); err != nil {
			t.Errorf("%s: %v", typed, err)
		}
	}
	if want := []string{"A=2", "SET=value\nof two lines", "B", "EMPTY="}; !slices.Equal(m.Plan().Variables, want) {
		t.Errorf("have %q, want %q", m.Plan().Variables, want)
	}
	for _, typed := range []string{"", "=1", "A=\x00"} {
		if err := m.Variable(typed); err == nil || hint.Of(err) == "" {
			t.Errorf("%q: %v", typed, err)
		}
	}
}

func TestEnvFiles(t *testing.T) {
	for text, want := range map[string]string{
		"\uFEFFA=1\r\n# B=2\n\n  C= #x \nSET\nUNSET\nA=3": "A=3|C= #x |SET=value\nof two lines",
		"A=1\nB C=2":  `! line 2: "B C" is not NAME=value`,
		"=1":          `! line 1: "" is not NAME=value`,
		"A=1\nB=\xff": `! line 2: "B" is not NAME=value`,
	} {
		h := before()
		h.ReadFile = func(path string) ([]byte, error) {
			if path != "/home/me/env" {
				return nil, fs.ErrNotExist
			}
			return []byte(text), nil
		}
		m := crossing.New(h)
		got := ""
		if err := m.EnvFile("~/env"); err != nil {
			got = "! " + err.Error()
		} else {
			got = strings.Join(m.Plan().Variables, "|")
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if err := m.EnvFile("env"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a file that is not there: %v", err)
		}
	}
}

// The last of two variables of one name counts, and what has no name is none.
func TestTheUsersEnvironment(t *testing.T) {
	m := crossing.New(before())
	m.Expose(func(name string) bool { return name != "LC_ALL" })
	m.Hide(func(name string) bool { return name == "LC_ALL" })
	if want := []string{"SET=2", "COMPOSE_FILE=y"}; !slices.Equal(m.Plan().Env, want) {
		t.Errorf("exposed %q, want %q", m.Plan().Env, want)
	}
	if want := []string{"SET", "bare", "COMPOSE_FILE"}; !slices.Equal(m.Plan().Unset, want) {
		t.Errorf("hidden %q, want %q", m.Plan().Unset, want)
	}
}
