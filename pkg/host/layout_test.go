package host_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

func environment(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func TestLayoutComesFromTheEnvironmentAndTheProgram(t *testing.T) {
	for _, c := range []struct {
		name          string
		env           []string
		program       string
		home, libexec string
	}{
		{"default", []string{"HOME", "/home/a"}, "/opt/linnet/bin/linnet", "/home/a/.linnet", "/opt/linnet/libexec/linnet"},
		{"another home", []string{"HOME", "/home/a", "LINNET_HOME", "/data/l"}, "/usr/bin/linnet", "/data/l", "/usr/libexec/linnet"},
		{"an empty variable is none", []string{"HOME", "/home/a", "LINNET_HOME", "", "LINNET_LIBEXEC", ""}, "/usr/bin/linnet", "/home/a/.linnet", "/usr/libexec/linnet"},
		{"other components", []string{"HOME", "/home/a", "LINNET_LIBEXEC", "/x"}, "/usr/bin/linnet", "/home/a/.linnet", "/x"},
		{"no HOME is needed", []string{"LINNET_HOME", "/data/../l/"}, "/usr/bin/linnet", "/l", "/usr/libexec/linnet"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := host.NewLayout(environment(c.env...), c.program)
			if err != nil || l.Home != c.home || l.Libexec != c.libexec {
				t.Errorf("got %+v, %v; want %s and %s", l, err, c.home, c.libexec)
			}
		})
	}
}

func TestLayoutFollowsTheLinkToTheProgram(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	program, link := filepath.Join(dir, "opt", "bin", "linnet"), filepath.Join(dir, "linnet")
	if err := errors.Join(os.MkdirAll(filepath.Dir(program), 0o755), os.WriteFile(program, nil, 0o755), os.Symlink(program, link)); err != nil {
		t.Fatal(err)
	}
	l, err := host.NewLayout(environment("HOME", "/h"), link)
	if want := filepath.Join(dir, "opt", "libexec", "linnet"); err != nil || l.Libexec != want {
		t.Errorf("got %s, %v; want %s", l.Libexec, err, want)
	}
	if got, want := l.Agent(link), l.Bin("linnet-agent"); got != want {
		t.Errorf("the agent is %s, want %s", got, want)
	}
	beside := filepath.Join(dir, "opt", "bin", "linnet-agent")
	if err := os.WriteFile(beside, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := l.Agent(link); got != beside {
		t.Errorf("the agent is %s, want %s", got, beside)
	}
}

func TestLayoutRefusesAHomeThatIsTooLongForItsSockets(t *testing.T) {
	fits := "/" + strings.Repeat("h", 69)
	if _, err := host.NewLayout(environment("LINNET_HOME", fits), "/bin/linnet"); err != nil {
		t.Errorf("70 bytes: %v", err)
	}
	_, err := host.NewLayout(environment("LINNET_HOME", fits+"h"), "/bin/linnet")
	var hinted *hint.Error
	if !errors.As(err, &hinted) || err.Error() != "LINNET_HOME "+fits+"h is too long for a socket below it: 71 bytes, at most 70" ||
		hinted.Hint() != "set LINNET_HOME to a shorter path; a symbolic link to the long one will not do" {
		t.Errorf("71 bytes: %v", err)
	}
	_, err = host.NewLayout(environment(), "/bin/linnet")
	if !errors.As(err, &hinted) || err.Error() != "finding the home directory: neither LINNET_HOME nor HOME is set" || hinted.Fix != "set LINNET_HOME to a directory of your own" {
		t.Errorf("no home: %v", err)
	}
}

func TestHomesAreToldApartByNamesThatFit(t *testing.T) {
	a, b := host.Layout{Home: "/home/a/.linnet"}, host.Layout{Home: "/home/b/.linnet"}
	if a.ID() == b.ID() || len(a.ID()) != 8 || a.ID() != "8d138d4c" {
		t.Errorf("ids %s and %s", a.ID(), b.ID())
	}
	if n := len(a.ShimSockets()); n > 42 {
		t.Errorf("the directory of the shims' sockets has %d bytes, and containerd takes 42", n)
	}
	if n := len("linnet-" + a.ID()); n > 15 {
		t.Errorf("the bridge's name has %d bytes, and the kernel takes 15", n)
	}
}

func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// docs/files.md explains to people what the layout lists for the code: every path of it.
// What is below Home is in an entry that linnet uninstall removes, too.
func TestTheDocumentNamesEveryPath(t *testing.T) {
	text, err := os.ReadFile("../../docs/files.md")
	if err != nil {
		t.Fatal(err)
	}
	l := host.Layout{Home: "/HOME", Libexec: "libexec/linnet"}
	names := map[string][]string{
		"Config": {"containerd.toml", "containerd-drain.toml", "buildkitd.toml", "dockerd.json"},
		"Log":    {"agent", "containerd", "buildkitd", "dockerd"},
		"Socket": {"agent", "containerd", "buildkitd", "buildkitd-otel", "dockerd"},

		"VMSocket": {"agent", "relay"},
		"VMLock":   {"start", "relay", "limactl"},
		"VMLog":    {"relay", "limactl-start"},
		"Image":    {"<arch>"},

		"StoredImage": {"<digest>"},
		"ImagePart":   {"<digest>"},
		"ImageOrigin": {"<digest>"},

		"BinfmtEntry":  {"<machine>"},
		"BinfmtMarker": {"<machine>"},
	}
	elsewhere := map[string]bool{"ID": true, "Home": true, "Bin": true, "Agent": true, "Env": true, "BinfmtOwn": true, "BinfmtExtension": true, "CheckDirs": true, "CheckOwners": true, "CheckPrograms": true, "CheckVersion": true, "KeepVersion": true, "Entries": true, "Directories": true, "Sockets": true, "LongestSocket": true} // no path, one in BinDir, or lists of those that the others name
	v := reflect.ValueOf(l)
	for i := range v.NumMethod() {
		name, method := v.Type().Method(i).Name, v.Method(i)
		if elsewhere[name] {
			continue
		}
		var paths []string
		switch method.Type().NumIn() {
		case 0:
			paths = append(paths, method.Call(nil)[0].String())
		default:
			if names[name] == nil {
				t.Errorf("%s: say in this test what it is called with", name)
			}
			for _, arg := range names[name] {
				paths = append(paths, method.Call([]reflect.Value{reflect.ValueOf(arg)})[0].String())
			}
		}
		for _, path := range paths {
			if within(path, l.Home) && !slices.ContainsFunc(l.Entries(), func(entry string) bool { return within(path, entry) }) {
				t.Errorf("%s: Entries has nothing that %s is in: linnet uninstall would leave it", name, path)
			}
			path = strings.TrimPrefix(strings.Replace(path, l.ID(), "<id>", 1), "/HOME/")
			if name == "Engine" || name == "Volatile" || name == "BinDir" || name == "CNI" {
				// Said as such.
			} else if names[name] != nil {
				path = filepath.Base(path) // several in one row
			}
			if !strings.Contains(string(text), "`"+path+"`") && !strings.Contains(string(text), "/"+path+"`") {
				t.Errorf("%s: docs/files.md does not name %s", name, path)
			}
		}
	}
}
