package migrate_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/migrate"
	"github.com/linnet-dev/linnet/pkg/migrate/migratetest"
)

func TestPlan(t *testing.T) {
	anonymous := strings.Repeat("0a", 32)
	there := migrate.Inventory{
		Images: []migrate.Image{
			{ID: "sha256:one", RepoTags: []string{"web:2", "web:1"}, Size: 5},
			{ID: "sha256:two", RepoTags: []string{"docker.io/library/db:1"}},
			{ID: "sha256:three", RepoTags: []string{"<none>:<none>"}},
			{ID: "sha256:four", RepoTags: []string{"old:1"}},
			{ID: "sha256:five", RepoTags: []string{"linnet-migrate:latest"}},
		},
		Volumes: []migrate.Volume{
			{Name: "data", Driver: "local"},
			{Name: "used", Driver: "local"},
			{Name: "half"},
			{Name: "whole"},
			{Name: "mine"},
			{Name: anonymous},
			{Name: "labelled", Labels: map[string]string{"com.docker.volume.anonymous": ""}},
			{Name: "remote", Driver: "nfs-plugin"},
			{Name: "disk", Driver: "local", Options: map[string]string{"device": "/dev/sdb1"}},
		},
		Containers: []migrate.Container{{ID: "c", Names: []string{"/web"}, State: "running", Mounts: []struct{ Type, Name string }{{"volume", "used"}}}},
		Networks:   []migrate.Network{{Name: "bridge"}, {Name: "front"}},
	}
	here := migrate.Here{Volumes: map[string]migrate.State{"half": migrate.Partial, "whole": migrate.Whole, "mine": migrate.Foreign}}
	here.Put("db:1", "sha256:manifest", "sha256:two")
	here.Put("old:1", "sha256:other")
	want := `image old:1 take
image web:1 take
image db:1 there
image sha256:three leave: it has no name
volume data take
volume used take: the container web runs and may change it meanwhile
volume half take
volume whole there
volume mine leave: a volume of that name is here: remove it, or copy the files yourself
volume ANONYMOUS leave: it has no name: it belongs to a container
volume labelled leave: it has no name: it belongs to a container
volume remote leave: its files are kept by the driver nfs-plugin
volume disk leave: its files are elsewhere: /dev/sdb1
container web leave: containers are made anew: run, or compose up
network front leave: networks are made anew: network create, or compose up`
	items, _ := migrate.Plan(there, here, migrate.Wanted{Images: true, Volumes: true})
	if got := text(items); !same(got, strings.ReplaceAll(strings.ReplaceAll(want, "ANONYMOUS", anonymous), "image db:1", "image docker.io/library/db:1")) {
		t.Errorf("the plan is\n%s", got)
	}
	for _, c := range []struct {
		wanted  migrate.Wanted
		items   string
		unknown string
	}{
		{migrate.Wanted{Images: true, Volumes: true, Names: []string{"web:2", "data", "nothing"}}, "image web:1 take\nvolume data take", "nothing"},
		{migrate.Wanted{Volumes: true, Names: []string{"web:2"}}, "", "web:2"},
		{migrate.Wanted{Images: true, Names: []string{"old:1"}}, "image old:1 take", ""},
	} {
		items, unknown := migrate.Plan(there, here, c.wanted)
		if got := text(items); got != c.items || strings.Join(unknown, " ") != c.unknown {
			t.Errorf("%+v: %q, unknown %q", c.wanted, got, unknown)
		}
	}
}

func text(items []migrate.Item) string {
	var lines []string
	for _, i := range items {
		line := fmt.Sprintf("%s %s %s", i.Kind, i.Name, i.Fate)
		if i.Why != "" {
			line += ": " + i.Why
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// same compares lines in any order.
func same(a, b string) bool {
	return slices.Equal(slices.Sorted(strings.SplitSeq(a, "\n")), slices.Sorted(strings.SplitSeq(b, "\n")))
}

func TestVolumesAreReadThroughAHelperThatIsRemoved(t *testing.T) {
	fake := migratetest.New(t)
	fake.Archives["volume:data"] = []byte("files")
	d := migrate.Open(fake.Socket)
	for _, want := range []string{"import linnet-migrate, create data:/linnet-volume:ro,nocopy, get volume:data", "create data:/linnet-volume:ro,nocopy, get volume:data"} {
		files, closing, err := d.Volume(t.Context(), "data")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(files)
		if err := errors.Join(err, closing()); err != nil || string(got) != "files" {
			t.Errorf("%q, %v", got, err)
		}
		if asked := strings.Join(fake.Asked(), ", "); asked != want {
			t.Errorf("asked for %s", asked)
		}
		if n, _ := fake.Helpers(); n != 0 {
			t.Errorf("%d helpers are left", n)
		}
	}
	if _, _, err := d.Volume(t.Context(), "gone"); err == nil || err.Error() != "there is no volume:gone" {
		t.Errorf("a volume that is gone: %v", err)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if n, image := fake.Helpers(); n != 0 || image {
		t.Errorf("%d helpers and their image (%v) are left", n, image)
	}
}

// What a killed migration left is removed by the next one.
func TestHelpersOfAKilledMigrationAreRemoved(t *testing.T) {
	fake := migratetest.New(t)
	fake.Archives["volume:data"] = []byte("files")
	if _, _, err := migrate.Open(fake.Socket).Volume(t.Context(), "data"); err != nil {
		t.Fatal(err)
	}
	i, err := migrate.Open(fake.Socket).List(t.Context())
	if err != nil || len(i.Containers) != 0 {
		t.Errorf("listed %+v, %v", i.Containers, err)
	}
	if n, _ := fake.Helpers(); n != 0 {
		t.Errorf("%d helpers are left", n)
	}
}

// A stream that breaks off does not look like one that ends.
func TestABrokenStreamIsAnError(t *testing.T) {
	fake := migratetest.New(t)
	fake.Archives["a:1 a:2"], fake.Cut = []byte(strings.Repeat("x", 100_000)), 50_000
	archive, err := migrate.Open(fake.Socket).Image(t.Context(), []string{"a:1", "a:2"})
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	if n, err := io.Copy(io.Discard, archive); err == nil || n >= 100_000 {
		t.Errorf("read %d bytes, %v", n, err)
	}
}

func TestWhichEngineIsMeant(t *testing.T) {
	fake, other := migratetest.New(t), migratetest.New(t)
	home := t.TempDir()
	place := func(from, to string) {
		t.Helper()
		to = filepath.Join(home, to)
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.Symlink(from, to)); err != nil {
			t.Fatal(err)
		}
	}
	environ := map[string]string{}
	h := migrate.Host{Home: home, LookupEnv: func(name string) (string, bool) { value, ok := environ[name]; return value, ok }}
	refused := func(from, text string) {
		t.Helper()
		_, _, err := h.Choose(t.Context(), from)
		if err == nil || err.Error()+"\n"+hint.Of(err) != text {
			t.Errorf("--from %q: %v\n%s", from, err, hint.Of(err))
		}
	}
	chosen := func(from string, want migrate.Source) {
		t.Helper()
		if got, _, err := h.Choose(t.Context(), from); err != nil || got != want {
			t.Errorf("--from %q: %v, %v; want %v", from, got, err, want)
		}
	}
	refused("colima", "no other engine answers on this host\nstart it, or name its socket: --from /path/docker.sock")
	refused("finch", "finch has no socket with Docker's API\nfinch save IMAGE | linnet load; a volume: finch run --rm -v NAME:/v IMAGE tar -c -C /v . >FILE")
	refused("moon", "--from: \"moon\" is not a source\na socket's path, or one of docker, desktop, colima, podman, rancher, orbstack")
	refused(home+"/no.sock", "no engine answers at "+home+"/no.sock: no such file or directory\nstart it, or name another socket")
	chosen("unix://"+fake.Socket, migrate.Source{Name: "socket", Socket: fake.Socket})

	place(fake.Socket, ".colima/default/docker.sock")
	colima := filepath.Join(home, ".colima/default/docker.sock")
	chosen("colima", migrate.Source{Name: "colima", Socket: colima})
	place(other.Socket, ".colima/second/docker.sock")
	refused("colima", "more than one engine answers: colima ("+colima+"), colima ("+filepath.Join(home, ".colima/second/docker.sock")+")\nchoose one: --from "+colima)

	// The same socket by another name counts once.
	environ["DOCKER_CONTEXT"] = "mine"
	id := sha256.Sum256([]byte("mine"))
	meta := filepath.Join(home, ".docker/contexts/meta", hex.EncodeToString(id[:]), "meta.json")
	err := os.MkdirAll(filepath.Dir(meta), 0o755)
	if err := errors.Join(err, os.WriteFile(meta, []byte(`{"Endpoints":{"docker":{"Host":"unix://`+other.Socket+`"}}}`), 0o600)); err != nil {
		t.Fatal(err)
	}
	found := h.Find(t.Context(), "docker")
	if !slices.Contains(found, migrate.Source{Name: "docker", Socket: other.Socket}) {
		t.Errorf("the current context is not among %v", found)
	}
	environ["DOCKER_HOST"] = "unix://" + other.Socket
	again := h.Find(t.Context(), "docker")
	if len(again) != len(found) {
		t.Errorf("one socket stands twice: %v", again)
	}

	// linnet's own engine, which a context may lead to, is none to move from.
	h.Own = other.Socket
	if found := h.Find(t.Context(), ""); slices.ContainsFunc(found, func(s migrate.Source) bool { return s.Socket == other.Socket }) {
		t.Errorf("the own engine is among %v", found)
	}
	refused(other.Socket, other.Socket+" is the socket of linnet's own engine\nname another engine's socket")
}
