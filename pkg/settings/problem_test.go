package settings

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// told is what a user reads: the error and, where it is not in it, the hint.
func told(err error) string {
	if err == nil {
		return "no error"
	}
	text := err.Error()
	var h interface{ Hint() string }
	if errors.As(err, &h) && h.Hint() != "" {
		text += "\nhint: " + h.Hint()
	}
	return text
}

// One mistake in a file, and exactly what is said about it.
func TestEachMistakeIsToldExactly(t *testing.T) {
	engineKeys := "subnet, snapshotter, stopTimeout, logSize, logFiles, registries, hostsDirs"
	sizes := "\nhint: write it like \"512MiB\" or \"20GiB\""
	durations := "\nhint: write it like \"10s\", \"5m\" or \"720h\""
	subnets := "\nhint: write it like \"10.231.0.0/16\""
	private := "\nhint: use private addresses, like \"10.231.0.0/16\""
	for _, c := range []struct{ file, want string }{
		// Choices.
		{"backend: natve\n", "1: backend: \"natve\" is not one of auto, native, lima\nhint: try \"native\""},
		{"backend: Native\n", "1: backend: \"Native\" is not one of auto, native, lima\nhint: try \"native\""},
		{"\n\nbackend: docker\n", "3: backend: \"docker\" is not one of auto, native, lima"},
		{"backend: \"\"\n", "1: backend: \"\" is not one of auto, native, lima"},
		{"backend: 3\n", "1: backend: \"3\" is not one of auto, native, lima"},
		{"log:\n  level: warning\n", "2: log.level: \"warning\" is not one of debug, info, warn, error\nhint: try \"warn\""},
		{"engine:\n  snapshotter: overlay\n", "2: engine.snapshotter: \"overlay\" is not one of overlayfs, native, fuse-overlayfs, stargz\nhint: try \"overlayfs\""},
		// Sizes.
		{"engine:\n  logSize: 4GG\n", "2: engine.logSize: \"4GG\" is not a size\nhint: try \"4GiB\""},
		{"engine:\n  logSize: 4G\n", "2: engine.logSize: \"4G\" is not a size\nhint: try \"4GiB\""},
		{"engine:\n  logSize: 10 MB\n", "2: engine.logSize: \"10 MB\" is not a size\nhint: try \"10MB\""},
		{"engine:\n  logSize: lots\n", "2: engine.logSize: \"lots\" is not a size" + sizes},
		{"engine:\n  logSize: -5MiB\n", "2: engine.logSize: \"-5MiB\" is not a size" + sizes},
		{"engine:\n  logSize: .\n", "2: engine.logSize: \".\" is not a size" + sizes},
		{"engine:\n  logSize: 99999999TiB\n", "2: engine.logSize: \"99999999TiB\" is larger than any disk"},
		{"engine:\n  logSize: 1KiB\n", "2: engine.logSize: \"1KiB\" is too small\nhint: use \"64KiB\" at least"},
		{"build:\n  cacheSize: 1\n", "2: build.cacheSize: \"1B\" is too small\nhint: use \"100MiB\" at least, or 0 for any size"},
		// The virtual machine.
		{"vm:\n  cpus: 0\n", "2: vm.cpus: 0 is not between 1 and 1024\nhint: try 1"},
		{"vm:\n  memory: 2\n", "2: vm.memory: \"2B\" is too small\nhint: use \"512MiB\" at least"},
		{"vm:\n  memory: 2G\n", "2: vm.memory: \"2G\" is not a size\nhint: try \"2GiB\""},
		{"vm:\n  mounts: [data]\n", "2: vm.mounts[0]: \"data\" is not a directory from / or ~ on\nhint: write it like \"/data\", \"/data:ro\" or \"~/work\""},
		{"vm:\n  mounts: [\"$HOME/data:ro\"]\n", "2: vm.mounts[0]: \"$HOME/data:ro\" is not a directory from / or ~ on\nhint: try \"~/data:ro\""},
		{"vm:\n  mounts: [/]\n", "2: vm.mounts[0]: \"/\" is everything that this host has\nhint: name the directories that containers need"},
		{"vm:\n  mounts: [\"/data:/srv\"]\n", "2: vm.mounts[0]: \"/data:/srv\": \"/srv\" is not one of ro, rw, off\nhint: a directory has the same path on both sides: try \"/data\""},
		{"vm:\n  mounts: [\"/data:readonly\"]\n", "2: vm.mounts[0]: \"/data:readonly\": \"readonly\" is not one of ro, rw, off"},
		{"vm:\n  mounts: [\"/data:off\"]\n", "2: vm.mounts[0]: \"/data:off\": only the home directory is there without being asked for\nhint: remove the item"},
		{"vm:\n  mounts: [\"~:off\", \"~/a\\tb\"]\n", "2: vm.mounts[1]: \"~/a\\tb\" is not a directory"},
		{"vm:\n  image: guest.tar.zst\n", "2: vm.image: \"guest.tar.zst\" is not an image\nhint: write it like \"/srv/guest.tar.zst\" or \"https://example.com/guest.tar.zst#sha256:...\""},
		{"vm:\n  image: \"/srv/guest.tar.zst#sha256:12\"\n", "2: vm.image: \"sha256:12\" is not a digest\nhint: write it as sha256: and 64 hexadecimal digits"},
		{"vm:\n  image: http://example.com/a\n", "2: vm.image: \"http://example.com/a\" is not reached over https\nhint: use https; http is for this very host alone (127.0.0.1)"},
		{"vm:\n  image: ftp://example.com/a\n", "2: vm.image: \"ftp://example.com/a\" is not an image\nhint: write it like \"/srv/guest.tar.zst\" or \"https://example.com/guest.tar.zst#sha256:...\""},
		{"vm:\n  image: sha256:12\n", "2: vm.image: \"sha256:12\" is not a digest\nhint: write it as sha256: and 64 hexadecimal digits"},
		{"vm:\n  mountType: 9P\n", "2: vm.mountType: \"9P\" is not one of auto, virtiofs, 9p, reverse-sshfs\nhint: try \"9p\""},
		{"vm:\n  accelerator: hvf\n", "2: vm.accelerator: \"hvf\" is not one of auto, kvm, tcg, vz"},
		{"vm:\n  forwardAgent: true\n", "2: vm.forwardAgent: \"true\" is not one of on, off"},
		{"vm:\n  rosetta: true\n", "2: vm.rosetta: \"true\" is not one of auto, on, off"},
		// Durations.
		{"engine:\n  stopTimeout: 10\n", "2: engine.stopTimeout: \"10\" is not a duration\nhint: try \"10s\""},
		{"engine:\n  stopTimeout: 5 minutes\n", "2: engine.stopTimeout: \"5 minutes\" is not a duration\nhint: try \"5m\""},
		{"engine:\n  stopTimeout: 2 weeks\n", "2: engine.stopTimeout: \"2 weeks\" is not a duration\nhint: try \"336h\""},
		{"build:\n  cacheAge: 30d\n", "2: build.cacheAge: \"30d\" is not a duration\nhint: try \"720h\""},
		{"build:\n  project: my shop\n", "2: build.project: \"my shop\" is not a name\nhint: write it without spaces, like \"example.com/team/shop\""},
		{"build:\n  cacheMounts: projects\n", "2: build.cacheMounts: \"projects\" is not one of project, shared\nhint: try \"project\""},
		{"docker:\n  idle: 10ms\n", "2: docker.idle: \"10ms\" is too short\nhint: use \"1s\" at least, or \"0s\" for ever"},
		{"docker:\n  socket: offf\n", "2: docker.socket: \"offf\" is not one of on, off\nhint: try \"off\""},
		{"build:\n  cacheAge: 1m\n", "2: build.cacheAge: \"1m\" is too short\nhint: use \"1h\" at least"},
		{"engine:\n  stopTimeout: -1s\n", "2: engine.stopTimeout: \"-1s\" is negative\nhint: try \"1s\""},
		{"engine:\n  stopTimeout: soon\n", "2: engine.stopTimeout: \"soon\" is not a duration" + durations},
		// Numbers.
		{"engine:\n  logFiles: three\n", "2: engine.logFiles: \"three\" is not a whole number"},
		{"engine:\n  logFiles: 2.5\n", "2: engine.logFiles: \"2.5\" is not a whole number"},
		{"engine:\n  logFiles: '3'\n", "2: engine.logFiles: \"3\" is text, not a number\nhint: remove the quotes"},
		{"engine:\n  logFiles: 0\n", "2: engine.logFiles: 0 is not between 1 and 100\nhint: try 1"},
		{"engine:\n  logFiles: 1000\n", "2: engine.logFiles: 1000 is not between 1 and 100\nhint: try 100"},
		// Subnets.
		{"engine:\n  subnet: home\n", "2: engine.subnet: \"home\" is not a subnet" + subnets},
		{"engine:\n  subnet: 10.4.0.7\n", "2: engine.subnet: \"10.4.0.7\" is not a subnet\nhint: try \"10.4.0.0/16\""},
		{"engine:\n  subnet: fd00::/48\n", "2: engine.subnet: \"fd00::/48\" is not an IPv4 subnet" + subnets},
		{"engine:\n  subnet: 10.4.0.0/24\n", "2: engine.subnet: \"10.4.0.0/24\" is not between /8 and /22\nhint: try \"10.4.0.0/22\""},
		{"engine:\n  subnet: 10.0.0.0/4\n", "2: engine.subnet: \"10.0.0.0/4\" is not between /8 and /22\nhint: try \"10.0.0.0/8\""},
		{"engine:\n  subnet: 10.4.5.0/16\n", "2: engine.subnet: \"10.4.5.0/16\" has bits set outside its mask\nhint: try \"10.4.0.0/16\""},
		{"engine:\n  subnet: 127.0.0.0/8\n", "2: engine.subnet: \"127.0.0.0/8\" overlaps with 127.0.0.0/8, which containers cannot use" + private},
		{"engine:\n  subnet: 239.0.0.0/8\n", "2: engine.subnet: \"239.0.0.0/8\" overlaps with 224.0.0.0/3, which containers cannot use" + private},
		// Lists.
		{"engine:\n  hostsDirs:\n  - /ok\n  - ~/certs.d\n", "4: engine.hostsDirs[1]: \"~/certs.d\" is not an absolute path\nhint: write it in full, from / on"},
		{"engine:\n  registries:\n    insecure: reg:5000\n", "3: engine.registries.insecure: it is text, not a list\nhint: try [\"reg:5000\"]"},
		{"engine:\n  registries:\n    insecure: [http://reg:5000/v2]\n", "3: engine.registries.insecure[0]: \"http://reg:5000/v2\" is not a host or host:port\nhint: try \"reg:5000\""},
		{"engine:\n  registries:\n    insecure: [reg:70000]\n", "3: engine.registries.insecure[0]: \"reg:70000\" is not a host or host:port"},
		{"engine:\n  registries:\n    insecure: [{a: b}]\n", "3: engine.registries.insecure[0]: it is a section, not text\nhint: put quotes around each item"},
		// Kinds.
		{"backend:\n", "1: backend: it has no value\nhint: remove the line to have the default"},
		{"engine:\n  hostsDirs: ~\n", "2: engine.hostsDirs: it has no value\nhint: remove the line to have the default"},
		{"backend: [lima]\n", "1: backend: it is a list, not text"},
		{"engine:\n  logFiles: {a: 1}\n", "2: engine.logFiles: it is a section, not a number"},
		{"engine: on\n", "1: engine: it is text, not a section\nhint: its keys: " + engineKeys},
		{"engine: true\n", "1: engine: it is true or false, not a section\nhint: its keys: " + engineKeys},
		{"engine:\n  registries: [a]\n", "2: engine.registries: it is a list, not a section\nhint: its keys: insecure"},
		{"backend: &x auto\n", "1: backend: it is a YAML anchor or alias, not text\nhint: write the value out, plainly"},
		{"backend: !!str auto\n", "1: backend: it is a YAML tag, not text\nhint: write the value out, plainly"},
		// Keys.
		{"backnd: auto\n", "1: backnd: unknown key\nhint: did you mean backend?"},
		{"engine:\n  logsise: 3MiB\n", "2: engine.logsise: unknown key\nhint: did you mean engine.logSize?"},
		{"engine:\n  logSzie: 3MiB\n", "2: engine.logSzie: unknown key\nhint: did you mean engine.logSize?"},
		{"logSize: 3MiB\n", "1: logSize: unknown key\nhint: did you mean \"logSize\" in the section \"engine\"?"},
		{"engine.logSize: 3MiB\n", "1: engine.logSize: unknown key\nhint: write it as \"logSize\" in the section \"engine\""},
		{"colour: red\n", "1: colour: unknown key\nhint: the keys: backend, engine, build, docker, vm, log"},
		{"memory: 4GiB\n", "1: memory: unknown key\nhint: did you mean \"memory\" in the section \"vm\"?"},
		{"engine:\n  colour: red\n", "2: engine.colour: unknown key\nhint: the keys in engine: " + engineKeys},
		{"\"a\\nb\": 1\n", "1: a\\nb: unknown key\nhint: the keys: backend, engine, build, docker, vm, log"},
		{"<<: {a: b}\n", "1: <<: unknown key\nhint: the keys: backend, engine, build, docker, vm, log"},
		{"backend: auto\nbackend: lima\n", "2: backend: it is set twice\nhint: it is first set on line 1"},
		{"engine:\n  logFiles: 2\nlog: {}\nengine: {}\n", "4: engine: it is set twice\nhint: it is first set on line 1"},
		// Files that are not settings.
		{"backend: auto\n---\nbackend: lima\n", "3: a second document begins here\nhint: remove the \"---\" line"},
		{"- a\n", "1: it is a list, not settings\nhint: write them like \"backend: auto\""},
		{"just text\n", "1: it is text, not settings\nhint: write them like \"backend: auto\""},
		{"engine:\n  logSi", "2: engine: it is text, not a section\nhint: its keys: " + engineKeys},
		{"backend: auto\nengine: {\n", "2: it is not YAML: could not find flow mapping end token '}'"},
		{"backend: \"auto\n", "1: it is not YAML: could not find end character of double-quoted text"},
		{"engine:\n\tlogFiles: 3\n", "2: it is not YAML: a tab stands where only spaces may\nhint: indent with spaces"},
		{"\tbackend: auto\n", "1: it is not YAML: a tab stands where only spaces may\nhint: indent with spaces"},
		{"backend: a: b\n", "1: it is not YAML: mapping value is not allowed in this context"},
	} {
		_, err := Read(write(t, c.file))
		if got, want := told(err), "reading ~/linnet.yaml:"+c.want; got != want {
			t.Errorf("%q:\n got %s\nwant %s", c.file, got, want)
		}
	}
}

func TestEveryProblemIsToldAtOnce(t *testing.T) {
	in := write(t, "backnd: auto\nengine:\n  logSize: 4GG\n  logFiles: 0\n  registries:\n    insecure: [ok:1, 'a b', {}]\nlog:\n  level: loud\n")
	in.Env = env(map[string]string{"LINNET_BACKEND": "moon"})
	in.Flags = []Flag{{Name: "--log-level", Key: "log.level", Value: "x"}, {Name: "--odd", Key: "odd"}}
	_, err := Read(in)
	want := `reading settings: 9 problems
~/linnet.yaml:1: backnd: unknown key
hint: did you mean backend?
~/linnet.yaml:3: engine.logSize: "4GG" is not a size
hint: try "4GiB"
~/linnet.yaml:4: engine.logFiles: 0 is not between 1 and 100
hint: try 1
~/linnet.yaml:6: engine.registries.insecure[1]: "a b" is not a host or host:port
~/linnet.yaml:6: engine.registries.insecure[2]: it is a section, not text
hint: put quotes around each item
~/linnet.yaml:8: log.level: "loud" is not one of debug, info, warn, error
LINNET_BACKEND: backend: "moon" is not one of auto, native, lima
--log-level: log.level: "x" is not one of debug, info, warn, error
--odd: odd: unknown key`
	if got := told(err); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	var ps Problems
	if !errors.As(err, &ps) || len(ps) != 9 || ps[1].Key != "engine.logSize" || ps[1].Line != 3 {
		t.Errorf("problems: %+v", ps)
	}
}

func TestProblemsOfOneFileNameItOnce(t *testing.T) {
	_, err := Read(write(t, "a_b: 1\nengine: {logFiles: 0}\n"))
	if first, _, _ := strings.Cut(err.Error(), "\n"); first != "reading ~/linnet.yaml: 2 problems" {
		t.Errorf("first line: %s", first)
	}
}

func TestMistakesInTheEnvironmentNameTheVariable(t *testing.T) {
	for name, c := range map[string]struct{ value, want string }{
		"LINNET_ENGINE_LOG_SIZE":            {"4GG", "LINNET_ENGINE_LOG_SIZE: engine.logSize: \"4GG\" is not a size\nhint: try \"4GiB\""},
		"LINNET_ENGINE_LOG_FILES":           {"x", "LINNET_ENGINE_LOG_FILES: engine.logFiles: \"x\" is not a whole number"},
		"LINNET_ENGINE_REGISTRIES_INSECURE": {"a,b c", "LINNET_ENGINE_REGISTRIES_INSECURE: engine.registries.insecure[1]: \"b c\" is not a host or host:port"},
	} {
		_, err := Read(Input{Env: env(map[string]string{name: c.value})})
		if got := told(err); got != "reading "+c.want {
			t.Errorf("got %s\nwant reading %s", got, c.want)
		}
	}
}

// What can stand in the place of linnet.yaml without being one.
func TestAFileThatCannotBeReadIsOneClearLine(t *testing.T) {
	for name, c := range map[string]struct {
		make func(path string) error
		want string
	}{
		"directory": {
			func(p string) error { return os.Mkdir(p, 0o755) },
			"it is a directory, not a file\nhint: move it away; no file is needed",
		},
		"pipe": {func(p string) error { return syscall.Mkfifo(p, 0o644) }, "it is not a regular file\nhint: move it away; no file is needed"},
		"dangling link": {
			func(p string) error { return os.Symlink("dotfiles/linnet.yaml", p) },
			"it is a symbolic link to dotfiles/linnet.yaml, which does not exist\nhint: make what it points to, or remove the link",
		},
		"loop": {func(p string) error { return os.Symlink("linnet.yaml", p) }, "too many levels of symbolic links"},
		"binary": {
			func(p string) error { return os.WriteFile(p, []byte("backend: auto\n\x00\x01"), 0o644) },
			"it is not text\nhint: restore it or move it away; no file is needed",
		},
		"not UTF-8": {
			func(p string) error { return os.WriteFile(p, []byte("# caf\xe9\n"), 0o644) },
			"it is not text\nhint: restore it or move it away; no file is needed",
		},
		"huge": {
			func(p string) error { return os.WriteFile(p, make([]byte, largest+1), 0o644) },
			"it has 65537 bytes, and 64KiB is the most that is read",
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := Input{Facts: Facts{Home: t.TempDir()}}
			in.Path = filepath.Join(in.Facts.Home, "linnet.yaml")
			if err := c.make(in.Path); err != nil {
				t.Skip(err)
			}
			if _, err := Read(in); told(err) != "reading ~/linnet.yaml: "+c.want {
				t.Errorf("got %s\nwant %s", told(err), c.want)
			}
		})
	}
}

func TestAPathThroughAFileAndAnUnreadableFileAreClearLines(t *testing.T) {
	in := write(t, "backend: auto\n")
	through := in
	through.Path = filepath.Join(in.Path, "linnet.yaml")
	if _, err := Read(through); told(err) != "reading ~/linnet.yaml/linnet.yaml: not a directory\nhint: its directory, or one above, is a file: move that away, or name another directory" {
		t.Errorf("got %s", told(err))
	}
	if os.Geteuid() != 0 {
		if err := os.Chmod(in.Path, 0); err != nil {
			t.Fatal(err)
		}
		_, err := Read(in)
		if told(err) != "reading ~/linnet.yaml: permission denied\nhint: make it readable for you (chmod u+r, or chown)" {
			t.Errorf("got %s", told(err))
		}
	}
}

// Root may read everything, so the words for an ordinary user are checked by themselves too.
func TestPermissionDeniedHasAHint(t *testing.T) {
	err := bare(&os.PathError{Op: "open", Path: "/x", Err: syscall.EACCES})
	if got := told(err); got != "permission denied\nhint: make it readable for you (chmod u+r, or chown)" {
		t.Errorf("got %s", got)
	}
}

func TestFilesThatSetNothingAreDefaults(t *testing.T) {
	for _, text := range []string{
		"", "\n", "# only a comment\n", "---\n", "{}\n", "null\n", "engine:\n", "\ufeff# with a mark\r\n",
		"engine:\n  # logFiles: 3\n", "%YAML 1.2\n---\n", "---\n...\n",
	} {
		s, err := Read(write(t, text))
		if err != nil || s.Backend != Auto || s.Source("backend").String() != "default" {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestAMarkAndWindowsLineEndsAreRead(t *testing.T) {
	s, err := Read(write(t, "\ufeffbackend: lima\r\nlog:\r\n  level: warn\r\n"))
	if err != nil || s.Backend != Lima || s.Log.Level != LevelWarn {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestReadTakesFileAndEnvironment(t *testing.T) {
	in := write(t, "backend: lima\n")
	t.Setenv("LINNET_LOG_LEVEL", "error")
	in.Env = os.LookupEnv
	s, err := Read(in)
	if err != nil || s.Backend != Lima || s.Log.Level != LevelError {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestOnlyPathsUnderTheHomeAreShortened(t *testing.T) {
	for _, c := range []struct{ path, home, want string }{
		{"/home/ada/.linnet/linnet.yaml", "/home/ada", "~/.linnet/linnet.yaml"},
		{"/home/adam/x", "/home/ada", "/home/adam/x"},
		{"/etc/x", "", "/etc/x"},
		{"/etc/x", "/", "/etc/x"},
	} {
		if got := tilde(c.path, c.home); got != c.want {
			t.Errorf("tilde(%s, %s) = %s", c.path, c.home, got)
		}
	}
}

func TestALongValueIsCutInTheMiddle(t *testing.T) {
	_, err := Read(write(t, "backend: a"+strings.Repeat("x", 3000)+"\n"))
	if n := len(err.Error()); n > 300 || !strings.HasSuffix(err.Error(), "is not one of auto, native, lima") {
		t.Errorf("%d characters: %v", n, err)
	}
}

// Without the bounds these take the parser gigabytes, or a minute.
func TestAFileThatIsMadeToHurtIsRefusedAtOnce(t *testing.T) {
	for _, c := range []struct{ file, want string }{
		{strings.Repeat("[", 4000), "1: more than 500 opening brackets are not settings"},
		{strings.Repeat("{a:\n", 4000), "501: more than 500 opening brackets are not settings"},
		{"# x\n" + strings.Repeat("- ", 4000), "2: the line has 8000 bytes, and 4096 is the most that is read"},
	} {
		_, err := Read(write(t, c.file))
		if got := told(err); got != "reading ~/linnet.yaml:"+c.want {
			t.Errorf("got %s\nwant %s", got, c.want)
		}
	}
}
