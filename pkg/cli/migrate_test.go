package cli

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/guest/guesttest"
	"github.com/linnet-dev/linnet/pkg/migrate"
	"github.com/linnet-dev/linnet/pkg/migrate/migratetest"
	"github.com/linnet-dev/linnet/pkg/streams"
)

// takingNerdctl is a nerdctl whose images are files and whose volumes are directories below STATE.
const takingNerdctl = `#!/bin/sh
for last; do :; done
case "$1 $2" in
"images --format="*) grep -o 'web:.' STATE/images; : ;;
"image inspect")
	for tag in web:1 web:2; do case "$*" in *$tag*) grep -q $tag STATE/images || exit 1 ;; esac; done
	cat STATE/images ;;
"load --quiet") cat >STATE/loaded.part && mv STATE/loaded.part STATE/loaded ;;
"volume ls") ls STATE/volumes ;;
"volume create") mkdir -p STATE/volumes/$last/_data; echo "$3" >STATE/volumes/$last/label ;;
"volume inspect")
	label=; [ ! -e STATE/volumes/$last/label ] || label='"linnet/migrated-from": "x"'
	echo "[{\"Name\": \"$last\", \"Mountpoint\": \"STATE/volumes/$last/_data\", \"Labels\": {$label}}]" ;;
*) echo "unexpected: $*" >&2; exit 9 ;;
esac
`

// takingAgent does what `linnet-agent volume` does, with tar.
const takingAgent = `#!/bin/sh
case "$2" in
whole) [ -e "$3/../whole" ] || exit 3 ;;
unpack) cd "$3" && rm -f ../whole && tar -x -f - --strip-components=1 ;;
finish) touch "$3/../whole" ;;
esac
`

// moving is a linnet with an engine, and another engine that it takes from.
type moving struct {
	*testing.T
	docker *migratetest.Docker
	guest  *guesttest.Fake
	state  string // of our engine
}

func newMoving(t *testing.T) moving {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the fake guest's programs are this host's")
	}
	m := moving{t, migratetest.New(t), nil, t.TempDir()}
	bin := filepath.Join(m.state, "bin")
	for _, dir := range []string{bin, filepath.Join(m.state, "volumes")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m.write("images", "")
	m.write("bin/nerdctl", strings.ReplaceAll(takingNerdctl, "STATE", m.state))
	m.write("bin/linnet-agent", takingAgent)
	m.guest = &guesttest.Fake{Root: t.TempDir(), PATH: bin + ":/usr/local/bin:/usr/bin:/bin"}
	m.docker.Images = []migrate.Image{{ID: "sha256:one", RepoTags: []string{"web:1", "web:2"}, Size: 3 << 20}}
	m.docker.Volumes = []migrate.Volume{{Name: "data", Driver: "local"}}
	m.docker.Archives["web:1 web:2"] = []byte("an image")
	m.docker.Archives["volume:data"] = volumeArchive(t)
	t.Setenv("LINNET_HOME", t.TempDir())
	return m
}

func volumeArchive(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	text := strings.Repeat("row\n", 50_000)
	for _, h := range []tar.Header{{Name: "v/", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: "v/table", Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(text))}} {
		h.Uid, h.Gid = os.Getuid(), os.Getgid()
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func (m moving) write(name, text string) {
	m.Helper()
	if err := os.WriteFile(filepath.Join(m.state, name), []byte(text), 0o755); err != nil {
		m.Fatal(err)
	}
}

func (m moving) exists(name string) bool {
	_, err := os.Stat(filepath.Join(m.state, name))
	return err == nil
}

// run runs `linnet migrate` and returns what it printed, and its error as a user sees it.
func (m moving) run(ctx context.Context, args ...string) (out, errs string) {
	m.Helper()
	s, _, stdout, stderr := streams.Test()
	a := &app{ctx: ctx, streams: s, log: newLog(io.Discard), quiet: true, engine: &engine{Guest: m.guest}}
	code := a.finish(a.execute(append([]string{"migrate", "--from", m.docker.Socket}, args...)))
	if (code != 0) != strings.Contains(stderr.String(), "linnet: ") {
		m.Errorf("exit code %d with %q", code, stderr)
	}
	return stdout.String(), stderr.String()
}

func TestMigrateTakesWhatIsNotHere(t *testing.T) {
	m := newMoving(t)
	m.docker.Containers = []migrate.Container{{ID: "c", Names: []string{"/shop"}, State: "exited"}}
	if out, _ := m.run(t.Context(), "--dry-run"); out != "KIND\tNAME\tSIZE\tFATE\tWHY\nimage\tweb:1\t3.0 MiB\ttake\t\nvolume\tdata\t\ttake\t\ncontainer\tshop\t\tleave\tcontainers are made anew: run, or compose up\n" {
		t.Errorf("--dry-run says\n%s", out)
	}
	if m.exists("loaded") || m.exists("volumes/data") {
		t.Error("--dry-run took something")
	}
	if out, errs := m.run(t.Context(), "--force"); out != "web:1\ndata\n" {
		t.Errorf("took %q\n%s", out, errs)
	}
	if !m.exists("loaded") || !m.exists("volumes/data/_data/table") || !m.exists("volumes/data/whole") {
		t.Error("not all of it is here")
	}
	if n, image := m.docker.Helpers(); n != 0 || image {
		t.Errorf("%d helpers and their image (%v) are left", n, image)
	}
	m.write("images", `{"Id":"sha256:one","RepoTags":["web:1"]}`+"\n"+`{"Id":"sha256:one","RepoTags":["web:2"]}`+"\n")
	m.docker.Asked()
	if out, errs := m.run(t.Context(), "-y"); out != "" || len(m.docker.Asked()) != 0 {
		t.Errorf("took it twice: %q\n%s", out, errs)
	}
}

// A volume whose stream broke off is taken anew, and one that fails does not keep the others back.
func TestMigrateTakesAHalfCopiedVolumeAnew(t *testing.T) {
	m := newMoving(t)
	m.docker.Volumes = append(m.docker.Volumes, migrate.Volume{Name: "empty"})
	m.docker.Archives["volume:empty"] = m.docker.Archives["volume:data"][:512] // a directory, and the end of the archive is missing
	m.docker.Cut = 100_000
	out, errs := m.run(t.Context(), "--volumes-only", "--force")
	if out != "empty\n" || !strings.Contains(errs, "linnet: taking volume data: reading from "+m.docker.Socket+": unexpected EOF\n") {
		t.Errorf("took %q\n%s", out, errs)
	}
	if m.exists("volumes/data/whole") {
		t.Error("a half-copied volume is taken for whole")
	}
	if n, image := m.docker.Helpers(); n != 0 || image {
		t.Errorf("%d helpers and their image (%v) are left", n, image)
	}
	m.docker.Cut = 0
	if out, errs := m.run(t.Context(), "--volumes-only", "--force"); out != "data\n" || !m.exists("volumes/data/whole") {
		t.Errorf("the second time: %q\n%s", out, errs)
	}
}

func TestMigrateCanBeInterrupted(t *testing.T) {
	m := newMoving(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m.write("bin/linnet-agent", "#!/bin/sh\n[ \"$2\" != unpack ] || { echo >"+m.state+"/begun; cat >/dev/null; exec sleep 600; }\nexit 3\n")
	go func() {
		for !m.exists("begun") && ctx.Err() == nil {
			runtime.Gosched()
		}
		cancel()
	}()
	if out, errs := m.run(ctx, "--force", "data"); out != "" || !strings.HasSuffix(errs, "linnet: migrate: interrupted\nhint: run it again to go on: what has come as a whole is not taken again\n") {
		t.Errorf("%q\n%s", out, errs)
	}
	if n, image := m.docker.Helpers(); n != 0 || image {
		t.Errorf("%d helpers and their image (%v) are left", n, image)
	}
	m.write("bin/linnet-agent", takingAgent)
	if out, errs := m.run(t.Context(), "--force", "data"); out != "data\n" {
		t.Errorf("the second time: %q\n%s", out, errs)
	}
}

func TestMigrateLeavesWhatIsOurs(t *testing.T) {
	m := newMoving(t)
	if err := os.MkdirAll(filepath.Join(m.state, "volumes/data/_data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, errs := m.run(t.Context(), "--force", "data"); out != "" || !strings.Contains(errs, "a volume of that name is here") {
		t.Errorf("took %q\n%s", out, errs)
	}
}

func TestMigrateRefuses(t *testing.T) {
	m := newMoving(t)
	for _, c := range []struct{ args, text string }{
		{"--images-only --volumes-only", "linnet: migrate: --images-only and --volumes-only leave nothing\nhint: leave both out to take images and volumes\n"},
		{"--dry-run nothing", "linnet: migrate: " + m.docker.Socket + " has no nothing\nhint: linnet migrate --dry-run lists what it has\n"},
		{"data", "KIND\tNAME\tSIZE\tFATE\tWHY\nvolume\tdata\t\ttake\t\nlinnet: migrate: not confirmed\nhint: there is no terminal to ask on: use --force\n"},
	} {
		if _, errs := m.run(t.Context(), strings.Fields(c.args)...); errs != c.text {
			t.Errorf("%s: %s", c.args, errs)
		}
	}
}
