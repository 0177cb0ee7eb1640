// Package migratetest is an engine with Docker's API for tests: what it has is data, and it notes what is asked of it. It answers
// on a unix socket, in the test's process.
package migratetest

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/linnet-dev/linnet/pkg/migrate"
)

// Docker is such an engine. Its fields may be changed while no request runs.
type Docker struct {
	Socket string
	migrate.Inventory
	// Archives are what images, by their tags, one space between them, and volumes, by "volume:NAME", are streamed as.
	Archives map[string][]byte
	// Cut, where it is more than 0, is after how many bytes an archive's stream breaks off.
	Cut int

	mu       sync.Mutex
	asked    []string
	helpers  map[string]string // volumes by container
	imported bool
}

// New starts an engine without anything, which ends with the test.
func New(t testing.TB) *Docker {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "lnd-") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	d := &Docker{Socket: filepath.Join(dir, "docker.sock"), Archives: map[string][]byte{}, helpers: map[string]string{}}
	listener, err := net.Listen("unix", d.Socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(d.handler())
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return d
}

// Asked lists the requests that changed or streamed something, since the last call.
func (d *Docker) Asked() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	asked := d.asked
	d.asked = nil
	return asked
}

// Helpers is how many helper containers there are, and whether their image is.
func (d *Docker) Helpers() (containers int, image bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.helpers), d.imported
}

func (d *Docker) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_ping", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "OK") })
	mux.HandleFunc("GET /images/json", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.Images) })
	mux.HandleFunc("GET /volumes", func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]any{"Volumes": d.Volumes}) })
	mux.HandleFunc("GET /networks", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.Networks) })
	mux.HandleFunc("GET /containers/json", d.containers)
	mux.HandleFunc("GET /images/get", func(w http.ResponseWriter, r *http.Request) {
		d.stream(w, strings.Join(r.URL.Query()["names"], " "))
	})
	mux.HandleFunc("POST /images/create", d.importImage)
	mux.HandleFunc("POST /containers/create", d.create)
	mux.HandleFunc("GET /containers/{id}/archive", func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		volume := d.helpers[r.PathValue("id")]
		d.mu.Unlock()
		d.stream(w, "volume:"+volume)
	})
	mux.HandleFunc("DELETE /containers/{id}", func(_ http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.helpers, r.PathValue("id"))
	})
	mux.HandleFunc("DELETE /images/linnet-migrate", func(w http.ResponseWriter, _ *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if !d.imported {
			refuse(w, http.StatusNotFound, "No such image: linnet-migrate")
		}
		d.imported = false
	})
	return mux
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // a client that went is no matter
}

func refuse(w http.ResponseWriter, code int, text string) {
	w.WriteHeader(code)
	answer(w, map[string]string{"message": text})
}

func (d *Docker) containers(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := []migrate.Container{}
	for id, volume := range d.helpers {
		all = append(all, migrate.Container{ID: id, Names: []string{"/" + id}, State: "created", Labels: map[string]string{"dev.linnet.migrate": volume}})
	}
	if !r.URL.Query().Has("filters") {
		all = append(all, d.Containers...)
	}
	answer(w, all)
}

func (d *Docker) importImage(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.imported = true
	d.asked = append(d.asked, "import "+r.URL.Query().Get("repo"))
}

func (d *Docker) create(w http.ResponseWriter, r *http.Request) {
	var wanted struct{ HostConfig struct{ Binds []string } }
	if err := json.NewDecoder(r.Body).Decode(&wanted); err != nil || len(wanted.HostConfig.Binds) != 1 {
		refuse(w, http.StatusBadRequest, "no bind")
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.imported {
		refuse(w, http.StatusNotFound, "No such image: linnet-migrate:latest")
		return
	}
	bind := wanted.HostConfig.Binds[0]
	volume, _, _ := strings.Cut(bind, ":")
	id := fmt.Sprintf("helper%d", len(d.helpers))
	d.helpers[id] = volume
	d.asked = append(d.asked, "create "+bind)
	answer(w, map[string]string{"Id": id})
}

func (d *Docker) stream(w http.ResponseWriter, name string) {
	d.mu.Lock()
	d.asked = append(d.asked, "get "+name)
	archive, ok := d.Archives[name]
	cut := d.Cut
	d.mu.Unlock()
	if !ok {
		refuse(w, http.StatusNotFound, "there is no "+name)
		return
	}
	if cut == 0 || cut > len(archive) {
		_, _ = w.Write(archive)
		return
	}
	_, _ = w.Write(archive[:cut])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler) // the connection ends without the stream's end
}
