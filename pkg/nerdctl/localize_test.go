package nerdctl_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/crossing"
	"github.com/linnet-dev/linnet/pkg/nerdctl"
)

var errHidden = errors.New("not visible here")

// here is a host where everything is visible in its place, as for a native engine.
func here() crossing.Host {
	h := there()
	h.Visible = func(path string) (string, bool, error) { return path, false, nil }
	return h
}

// fromFile is what there's environment files come to.
var fromFile = []string{"TOKEN=s3cret\n #x ", "A= #B ", "PATH=/host/bin", "LAST==\\\""}

// there is a host in front of a virtual machine: the home directory is visible, /shared is
// somewhere else in the guest, /fixed is read-only, and nothing else is visible.
func there() crossing.Host {
	env := map[string]string{
		"TOKEN": "s3cret\n #x ", "PATH": "/host/bin", "EMPTY": "", "http_proxy": "http://proxy", "SSH_AUTH_SOCK": "/tmp/agent.sock",
	}
	return crossing.Host{
		Dir: "/home/me/app", Home: "/home/me",
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		Visible: func(path string) (string, bool, error) {
			if !filepath.IsAbs(path) || path != filepath.Clean(path) {
				return "", false, fmt.Errorf("asked for %q, which is not a clean absolute path", path)
			}
			switch top, rest, _ := strings.Cut(path[1:], "/"); top {
			case "home":
				return path, false, nil
			case "shared":
				return filepath.Join("/mnt/shared", rest), false, nil
			case "fixed":
				return path, true, nil
			}
			return "", false, errHidden
		},
		IsDir: func(path string) bool { return strings.HasSuffix(path, "dir") },
		ReadFile: func(path string) ([]byte, error) {
			return []byte("# TOKEN2\nTOKEN\r\n\n  A= #B \nPATH\nNONE\nLAST==\\\""), nil
		},
	}
}

func localize(t *testing.T, h crossing.Host, argv ...string) (*nerdctl.Plan, error) {
	t.Helper()
	inv, err := nerdctl.Parse(argv)
	if err != nil {
		t.Fatal(err)
	}
	before := inv.Argv()
	plan, err := nerdctl.Localize(inv, h)
	if after := inv.Argv(); !slices.Equal(before, after) {
		t.Errorf("Localize changed its argument from %q to %q", before, after)
	}
	return plan, err
}

func argvOf(p *nerdctl.Plan) string {
	return strings.Join(p.Argv(func(name string) string { return "/stage/" + name }), " ")
}

// TestLocalize goes through every kind of flag, with an engine in a virtual machine.
func TestLocalize(t *testing.T) {
	type plan = crossing.Plan
	for _, c := range []struct {
		line string
		argv string // "" means as it stands, in canonical form
		want plan   // but for Invocation; Dir is always the host's
	}{
		{line: "ps"},
		{"run -e TOKEN a", "run a", plan{Variables: []string{"TOKEN=s3cret\n #x "}}},
		{"run -e EMPTY a", "run a", plan{Variables: []string{"EMPTY="}}},
		{"run -e UNSET a", "run a", plan{Variables: []string{"UNSET"}}},
		{"run -e A=B=C a", "run a", plan{Variables: []string{"A=B=C"}}},
		{"run -e A= a", "run a", plan{Variables: []string{"A="}}},
		{"run -e A=1 -e B=2 -e A=3 a", "run a", plan{Variables: []string{"A=3", "B=2"}}},
		{"run -e UNSET=1 -e UNSET a", "run a", plan{Variables: []string{"UNSET"}}},
		{"run -e PATH a", "run a", plan{Variables: []string{"PATH=/host/bin"}}},
		{"run -e PATH=/x -e LD_PRELOAD=/y a", "run a", plan{Variables: []string{"PATH=/x", "LD_PRELOAD=/y"}}},
		{"run -e http_proxy a", "run a", plan{Variables: []string{"http_proxy=http://proxy"}}},
		{"run -e NERDCTL_TOML a", "run a", plan{Variables: []string{"NERDCTL_TOML"}}},
		{"create -e A=B a", "create a", plan{Variables: []string{"A=B"}}},
		{"container run -e A=B a", "container run a", plan{Variables: []string{"A=B"}}},
		{"exec -e A=B c sh", "exec c sh", plan{Variables: []string{"A=B"}}},
		{"compose run -e A=B s", "compose run s", plan{Variables: []string{"A=B"}}},
		{"compose exec -e A=B s sh", "compose exec s sh", plan{Variables: []string{"A=B"}}},
		{"run a -e A=B", "run a -e A=B", plan{}},

		{"run -v ./src:/src a", "run --volume=./src:/src a", plan{}},
		{"run -v ~/src:/src:ro a", "run --volume=/home/me/src:/src:ro a", plan{}},
		{"run -v /shared/x:/src:ro a", "run --volume=/mnt/shared/x:/src:ro a", plan{}},
		{"run -v data:/x a", "run --volume=data:/x a", plan{}},
		{"run -v /x a", "run --volume=/x a", plan{}},
		{"run -v d:/x a", "run --volume=d:/x a", plan{}},
		{"run --mount type=bind,src=/shared/x,dst=/y a", "run --mount=type=bind,src=/mnt/shared/x,dst=/y a", plan{}},
		{"run --mount type=bind,source=~/x,dst=/y a", "run --mount=type=bind,source=/home/me/x,dst=/y a", plan{}},
		{"run --mount src=data,dst=/y a", "run --mount=src=data,dst=/y a", plan{}},
		{"run --mount type=tmpfs,dst=/tmp a", "run --mount=type=tmpfs,dst=/tmp a", plan{}},

		{"run --env-file .env a", "run a", plan{Variables: fromFile}},
		{"run --env-file /etc/env a", "run a", plan{Variables: fromFile}},
		{"run --env-file .env -e TOKEN=mine a", "run a", plan{Variables: append([]string{"TOKEN=mine"}, fromFile[1:]...)}},
		{"run -e TOKEN=mine --env-file .env a", "run a", plan{Variables: append([]string{"TOKEN=mine"}, fromFile[1:]...)}},
		{"run --env-file .env --env-file /etc/env -e A=x -e A=y a", "run a", plan{Variables: []string{fromFile[0], "A=y", fromFile[2], fromFile[3]}}},
		{"run --label-file a,/etc/l b", "run --label-file=a,/stage/in0-l b", plan{Stage: []crossing.StagedFile{{Name: "in0-l", Host: "/etc/l"}}}},
		{"run --label-file ~/l a", "run --label-file=/home/me/l a", plan{}},
		{"run --cidfile /tmp/cid --pidfile pid a", "run --cidfile=/stage/out0-cid --pidfile=pid a", plan{
			CopyBack: []crossing.BackFile{{Name: "out0-cid", Host: "/tmp/cid", New: true}},
		}},
		{"run --pidfile /fixed/pid a", "run --pidfile=/stage/out0-pid a", plan{CopyBack: []crossing.BackFile{{Name: "out0-pid", Host: "/fixed/pid"}}}},
		{"run --security-opt seccomp=/etc/s.json a", "run --security-opt=seccomp=/stage/in0-s.json a", plan{
			Stage: []crossing.StagedFile{{Name: "in0-s.json", Host: "/etc/s.json"}},
		}},
		{"run --security-opt seccomp=unconfined a", "run --security-opt=seccomp=unconfined a", plan{}},
		{"run --rootfs /shared/r sh", "run --rootfs /mnt/shared/r sh", plan{}},
		{"pull --cosign-key awskms://x a", "pull --cosign-key=awskms://x a", plan{}},
		{"pull --cosign-key ~/k.pub a", "pull --cosign-key=/home/me/k.pub a", plan{}},
		{"--hosts-dir /shared/a,/home/b pull a", "--hosts-dir=/mnt/shared/a,/home/b pull a", plan{}},

		{"load -i x.tar", "load --input=x.tar", plan{}},
		{"load -i /tmp/x.tar", "load", plan{Stdin: &crossing.HostFile{Path: "/tmp/x.tar"}}},
		{"save -o /tmp/x.tar a", "save a", plan{Stdout: &crossing.HostFile{Path: "/tmp/x.tar"}}},
		{"save -o /fixed/x.tar a", "save a", plan{Stdout: &crossing.HostFile{Path: "/fixed/x.tar"}}},
		{"export -o ../x.tar c", "export --output=../x.tar c", plan{}},
		{"export -o /tmp/x.tar c", "export c", plan{Stdout: &crossing.HostFile{Path: "/tmp/x.tar"}}},
		{"import /tmp/x.tar a", "import - a", plan{Stdin: &crossing.HostFile{Path: "/tmp/x.tar"}}},
		{"import https://x/y.tar a", "import https://x/y.tar a", plan{}},
		{"import - a", "import - a", plan{}},
		{"image import /shared/x.tar a", "image import /mnt/shared/x.tar a", plan{}},

		{"cp x c:/y", "cp x c:/y", plan{}},
		{"cp /shared/x/. c:/y", "cp /mnt/shared/x/. c:/y", plan{}},
		{"cp c:/y /shared/x/", "cp c:/y -", plan{Stdout: &crossing.HostFile{Path: "/shared/x/", Tar: true, Entry: "y"}}},
		{"cp c:/y /fixed/x", "cp c:/y -", plan{Stdout: &crossing.HostFile{Path: "/fixed/x", Tar: true, Entry: "y"}}},
		{"cp c:/y -- -x", "cp c:/y -- -", plan{Stdout: &crossing.HostFile{Path: "/home/me/app/-x", Tar: true, Entry: "y"}}},
		{"cp -- --to=x c:/y", "cp -- ./--to=x c:/y", plan{}},
		{"compose cp -- -x s:/y", "compose cp -- ./-x s:/y", plan{}},
		{"cp /tmp/x c:/y", "cp /stage/x c:/y", plan{Stage: []crossing.StagedFile{{Name: "x", Host: "/tmp/x", KeepMode: true}}}},
		{"cp /tmp/dir c:/y", "cp - c:/y", plan{Stdin: &crossing.HostFile{Path: "/tmp/dir", Tar: true}}},
		{"cp -L /tmp/a/. c:/y", "cp --follow-link - c:/y", plan{Stdin: &crossing.HostFile{Path: "/tmp/a/.", Tar: true, FollowLink: true}}},
		{"cp c:/y /tmp/x", "cp c:/y -", plan{Stdout: &crossing.HostFile{Path: "/tmp/x", Tar: true, Entry: "y"}}},
		{"cp c:../a/b/. /tmp/x", "cp c:../a/b/. -", plan{Stdout: &crossing.HostFile{Path: "/tmp/x", Tar: true, Entry: "."}}},
		{"cp c:b/../a/ /tmp/x", "cp c:b/../a/ -", plan{Stdout: &crossing.HostFile{Path: "/tmp/x", Tar: true, Entry: "a"}}},
		{"cp - c:/y", "cp - c:/y", plan{}},
		{"--namespace n cp -L c:/ /tmp/x/", "--namespace=n export -- c", plan{Stdout: &crossing.HostFile{Path: "/tmp/x/", Tar: true, Contents: true}}},
		{"cp c:a/../.. x", "export -- c", plan{Stdout: &crossing.HostFile{Path: "/home/me/app/x", Tar: true, Contents: true}}},
		{"cp c:/ -", "export -- c", plan{}},
		{"cp x c:/", "cp x c:/", plan{}},
		{"compose cp s:/y /shared/x", "compose cp s:/y /mnt/shared/x", plan{}},
		{"image decrypt --key /etc/k:pass=x,~/l a b", "image decrypt --key=/stage/in0-k:pass=x,/home/me/l a b", plan{
			Stage: []crossing.StagedFile{{Name: "in0-k", Host: "/etc/k"}},
		}},
		{"image encrypt --recipient jwe:~/k,pgp:me@x a b", "image encrypt --recipient=jwe:/home/me/k,pgp:me@x a b", plan{}},
		{"compose -f /shared/c.yaml up", "compose --f=/mnt/shared/c.yaml up", plan{}},
		{"compose -f - up", "compose --f=- up", plan{}},
	} {
		t.Run(c.line, func(t *testing.T) {
			p, err := localize(t, there(), strings.Fields(c.line)...)
			if err != nil {
				t.Fatal(err)
			}
			want := c.argv
			if want == "" {
				want = c.line
			}
			// Localize keeps the order of the flags; the table need not know it.
			if got := argvOf(p); !sameWords(got, want) {
				t.Errorf("have %s\nwant %s", got, want)
			}
			c.want.Dir = "/home/me/app"
			if !reflect.DeepEqual(*p.Plan, c.want) {
				t.Errorf("have %+v\nwant %+v", *p.Plan, c.want)
			}
		})
	}
}

// A copy out of a service's container is one out of a container, once it is known which.
func TestCopyingOut(t *testing.T) {
	for line, want := range map[string]string{
		"--namespace n compose -f x cp s:/y z":               "--namespace=n compose --f=x ps --all --quiet -- s | --namespace=n cp -- one:/y z",
		"compose cp -L --index 2 --project-name p s:/y /abs": "compose --project-name=p ps --all --quiet -- s | cp --follow-link -- two:/y /abs",
		"compose cp --index 3 s:/y z":                        "compose ps --all --quiet -- s | copying from s: the service has 2 containers, and not the one with --index 3",
		"compose cp z s:/y":                                  "",
		"compose cp s:/y -":                                  "",
		"compose cp --dry-run s:/y z":                        "",
		"cp s:/y z":                                          "",
	} {
		inv, err := nerdctl.Parse(strings.Fields(line))
		if err != nil {
			t.Fatal(err)
		}
		list, one, ok := nerdctl.CopyingOut(inv)
		got := ""
		if ok {
			got = strings.Join(list.Argv(), " ") + " | "
			if c, err := one("one\ntwo\n"); err != nil {
				got += err.Error()
			} else {
				got += strings.Join(c.Argv(), " ")
			}
		}
		if got != want {
			t.Errorf("%s:\nhave %s\nwant %s", line, got, want)
		}
		if ok {
			if _, err := one(""); err == nil || err.Error() != "copying from s: the service has no container" {
				t.Errorf("with none: %v", err)
			}
		}
	}
}

func sameWords(a, b string) bool {
	x, y := strings.Fields(a), strings.Fields(b)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// TestLocalizeChangesNothingNatively: where every path is visible in its place, only the
// values of variables leave the command line, and nothing has to be done around the command.
func TestLocalizeChangesNothingNatively(t *testing.T) {
	for _, line := range []string{
		"run -v ./x:/x -v /y:/y --cidfile c --mount type=bind,src=x,dst=/x a sh -c x",
		"cp x/. c:/y", "load -i x", "save -o x a", "import x",
		"compose -f x --project-directory y up -d",
		"image encrypt --recipient jwe:k --gpg-homedir g a b", "-n ns --hosts-dir x,y pull a",
	} {
		p, err := localize(t, here(), strings.Fields(line)...)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		inv, _ := nerdctl.Parse(strings.Fields(line))
		if have, want := p.Argv(nil), inv.Argv(); !slices.Equal(have, want) {
			t.Errorf("have %q\nwant %q", have, want)
		}
		if !p.Direct() || p.Dir != "/home/me/app" {
			t.Errorf("%s: %+v is not direct", line, p)
		}
	}
}

// TestLocalizeRefuses: what cannot be carried is refused with the reason that Visible gave.
func TestLocalizeRefuses(t *testing.T) {
	for _, line := range []string{
		"run -v /etc:/x a", "run --mount type=bind,src=/etc,dst=/x a", "compose -f /etc/c.yaml up", "compose cp /etc/x s:/x",
		"run --rootfs /var/r",
		"checkpoint create --checkpoint-dir /tmp/c a b", "--hosts-dir /etc/certs pull a", "compose --project-directory /etc up",
	} {
		if _, err := localize(t, there(), strings.Fields(line)...); !errors.Is(err, errHidden) {
			t.Errorf("%s: %v", line, err)
		}
	}
	if _, err := localize(t, there(), "compose", "cp", "c:/x", "/fixed/x"); err == nil || err.Error() != "/fixed/x is read-only for the engine" {
		t.Errorf("cp to a read-only path: %v", err)
	}
	h := there()
	h.Dir = "/tmp/else:where"
	h.Visible = func(path string) (string, bool, error) { return "/mnt" + path, false, nil }
	_, err := localize(t, h, "run", "-v", "x:/x", "-v", "./y:/y", "a")
	if want := `mounting /mnt/tmp/else:where/x: a path with ":" in it cannot be mounted`; err == nil || err.Error() != want {
		t.Errorf("have %v, want %s", err, want)
	}
}

// TestLocalizeFromAnInvisibleDirectory: absolute paths still work, relative ones are made
// absolute, and a compose file that would be looked for there is refused.
func TestLocalizeFromAnInvisibleDirectory(t *testing.T) {
	h := there()
	h.Dir = "/tmp"
	p, err := localize(t, h, strings.Fields("run --label-file x -v /home/me:/h a")...)
	if err != nil || p.Dir != "" || argvOf(p) != "run --label-file=/stage/in0-x --volume=/home/me:/h a" {
		t.Errorf("%v, %+v", err, p)
	}
	if _, err := localize(t, h, "compose", "up"); !errors.Is(err, errHidden) {
		t.Errorf("compose up: %v", err)
	}
	h.Dir = "/shared/app"
	p, err = localize(t, h, strings.Fields("run -v ./x:/x a")...)
	if err != nil || p.Dir != "/mnt/shared/app" || argvOf(p) != "run --volume=/mnt/shared/app/x:/x a" {
		t.Errorf("%v, %+v", err, p)
	}
}

// TestComposeIsInterpolatedWithTheHostsEnvironment, but for what nerdctl itself goes by.
func TestComposeIsInterpolatedWithTheHostsEnvironment(t *testing.T) {
	h := there()
	h.Environ = func() []string { return []string{"TAG=1", "PATH=/x", "COMPOSE_PROFILES=p", "BAD", "=x"} }
	p, err := localize(t, h, "compose", "up")
	if err != nil || !slices.Equal(p.Env, []string{"TAG=1", "COMPOSE_PROFILES=p"}) {
		t.Errorf("%v, %+v", err, p)
	}
	if p, err = localize(t, h, "ps"); err != nil || len(p.Env) > 0 {
		t.Errorf("%v, %+v", err, p)
	}
}

// TestNoTypedValueIsOnTheArgv, whichever form it is typed in.
func TestNoTypedValueIsOnTheArgv(t *testing.T) {
	const canary = "canary \n#x "
	for _, argv := range [][]string{
		{"run", "-eT=" + canary, "a"},
		{"run", "-e=T=" + canary, "a"},
		{"run", "--env", "T=" + canary, "a"},
		{"run", "-ite", "T=" + canary, "a"},
		{"container", "exec", "--env=T=" + canary, "c", "sh"},
		{"compose", "run", "-e", "T=" + canary, "s"},
	} {
		p, err := localize(t, here(), argv...)
		if err != nil {
			t.Fatal(err)
		}
		if words := fmt.Sprint(p.Argv(nil)); strings.Contains(words, "canary") {
			t.Errorf("%q leaves %q", argv, words)
		}
		if !slices.Equal(p.Variables, []string{"T=" + canary}) || len(p.Env) > 0 {
			t.Errorf("%q carries %q and %q", argv, p.Variables, p.Env)
		}
	}
}

// A container that is made must not keep the user's environment: nerdctl writes its own into
// the container's hooks.
func TestOnlyWhatIsNeededReachesNerdctlThatMakesAContainer(t *testing.T) {
	h := here()
	h.Environ = func() []string { return []string{"SECRET=x", "GIVEN=y", "PATH=/bin", "HTTP_PROXY=p"} }
	h.LookupEnv = func(name string) (string, bool) { return "y", name == "GIVEN" }
	for line, want := range map[string][]string{
		"run -e GIVEN image":    {"SECRET", "GIVEN"},
		"create -e GIVEN image": {"SECRET", "GIVEN"},
		"container run image":   {"SECRET", "GIVEN"},
		"exec c sh":             {"SECRET", "GIVEN"},
		"start c":               {"SECRET", "GIVEN"},
		"pull image":            nil, // a credential helper may need all of it
	} {
		inv, err := nerdctl.Parse(strings.Fields(line))
		if err != nil {
			t.Fatal(err)
		}
		plan, err := nerdctl.Localize(inv, h)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(plan.Unset, want) {
			t.Errorf("%s: unset %q, want %q", line, plan.Unset, want)
		}
	}
}
