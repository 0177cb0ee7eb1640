// Package migrate reads what an engine with Docker's API has: it finds the sockets of such engines on this host, lists what is there,
// says what of it can be taken, and streams images and the files of volumes. It changes nothing there but for a helper of its own,
// an image without content and a container of it that never runs, which it removes.
//
// It must not know where what it reads goes, nor how that is shown.
package migrate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// Docker is an engine with Docker's API behind a unix socket. The API's calls are those of version 1.24 and later
// (https://docs.docker.com/reference/api/engine/), which Podman answers as well. None has a version in its path: the engine then
// takes its own.
type Docker struct {
	Socket string
	http   *http.Client
}

// Open makes a client of an engine; nothing is connected yet.
func Open(socket string) *Docker {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "unix", socket)
	}
	return &Docker{Socket: socket, http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableCompression: true}}}
}

// statusError is an answer of the engine's that says no.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return e.text }

// do sends a request. The caller closes the body. An answer of 400 and above is an error with the engine's own words.
func (d *Docker) do(ctx context.Context, method, path string, query url.Values, kind string, body io.Reader) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://docker"+path+"?"+query.Encode(), body)
	if err != nil {
		return nil, err
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	answer, err := d.http.Do(request)
	if err != nil {
		var of *url.Error
		if errors.As(err, &of) {
			err = of.Err // which has no made-up address in it
		}
		return nil, err
	}
	if answer.StatusCode < http.StatusBadRequest {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	var message struct{ Message string }
	if json.Unmarshal(said, &message) != nil || message.Message == "" {
		message.Message = answer.Status
	}
	return nil, &statusError{answer.StatusCode, strings.TrimSpace(message.Message)}
}

func (d *Docker) get(ctx context.Context, path string, query url.Values, into any) error {
	body, err := d.do(ctx, http.MethodGet, path, query, "", nil)
	if err != nil {
		return err
	}
	defer body.Close()
	return json.NewDecoder(body).Decode(into)
}

// Answers reports why the engine does not answer within the time of ctx, or nil.
func (d *Docker) Answers(ctx context.Context) error {
	body, err := d.do(ctx, http.MethodGet, "/_ping", nil, "", nil)
	if err == nil {
		err = body.Close()
	}
	return err
}

// Inventory is what an engine has, as its API lists it.
type Inventory struct {
	Images     []Image
	Volumes    []Volume
	Containers []Container
	Networks   []Network
}

// Image is an image. Size is in bytes.
type Image struct {
	ID       string `json:"Id"`
	RepoTags []string
	Size     int64
}

// Volume is a volume.
type Volume struct {
	Name, Driver    string
	Labels, Options map[string]string
}

// Container is a container, running or not. Each of Names begins with a slash.
type Container struct {
	ID     string `json:"Id"`
	Names  []string
	State  string
	Labels map[string]string
	Mounts []struct{ Type, Name string }
}

// Network is a network.
type Network struct{ Name string }

// List reads the inventory.
func (d *Docker) List(ctx context.Context) (Inventory, error) {
	var i Inventory
	var volumes struct{ Volumes []Volume }
	err := d.removeHelpers(ctx)
	for _, part := range []struct {
		path  string
		query url.Values
		into  any
	}{
		{"/images/json", nil, &i.Images},
		{"/volumes", nil, &volumes},
		{"/containers/json", url.Values{"all": {"1"}}, &i.Containers},
		{"/networks", nil, &i.Networks},
	} {
		if err == nil {
			err = d.get(ctx, part.path, part.query, part.into)
		}
	}
	if err != nil {
		return i, fmt.Errorf("listing what %s has: %w", d.Socket, err)
	}
	i.Volumes = volumes.Volumes
	return i, nil
}

// Image streams an image with all its tags as the archive that `docker save` writes. The stream ends with io.EOF only
// where all of it has come.
func (d *Docker) Image(ctx context.Context, tags []string) (io.ReadCloser, error) {
	return d.do(ctx, http.MethodGet, "/images/get", url.Values{"names": tags}, "", nil)
}

const (
	helperImage = "linnet-migrate" // has no files
	helperLabel = "dev.linnet.migrate"
	helperPath  = "/linnet-volume" // where a helper has the volume
)

// Volume streams the files of a volume as a tar archive of one directory. They can be had only through a container, so one is made
// that never runs; close removes it, and has to be called.
func (d *Docker) Volume(ctx context.Context, name string) (files io.ReadCloser, closing func() error, err error) {
	id, err := d.createHelper(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	remove := func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		return d.remove(ctx, "/containers/"+id)
	}
	body, err := d.do(ctx, http.MethodGet, "/containers/"+id+"/archive", url.Values{"path": {helperPath}}, "", nil)
	if err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	return body, func() error { return errors.Join(body.Close(), remove()) }, nil
}

// createHelper makes a container with the volume, read-only, and nothing else. It needs an image of the engine's: one without content
// is made where it is not there.
func (d *Docker) createHelper(ctx context.Context, volume string) (string, error) {
	config, err := json.Marshal(map[string]any{
		"Image": helperImage, "Cmd": []string{"/never-run"}, "Labels": map[string]string{helperLabel: volume},
		"HostConfig": map[string]any{"Binds": []string{volume + ":" + helperPath + ":ro,nocopy"}, "NetworkMode": "none"},
	})
	if err != nil {
		return "", err
	}
	create := func() (id string, err error) {
		body, err := d.do(ctx, http.MethodPost, "/containers/create", nil, "application/json", bytes.NewReader(config))
		if err != nil {
			return "", err
		}
		defer body.Close()
		var made struct{ Id string }
		err = json.NewDecoder(body).Decode(&made)
		return made.Id, err
	}
	id, err := create()
	var status *statusError
	if errors.As(err, &status) && status.code == http.StatusNotFound {
		if err = d.importHelper(ctx); err == nil {
			id, err = create()
		}
	}
	if err != nil {
		return "", fmt.Errorf("making a container that has the volume: %w", err)
	}
	return id, nil
}

// importHelper makes the image without content, of an empty archive: two blocks of zeros.
func (d *Docker) importHelper(ctx context.Context) error {
	query := url.Values{"fromSrc": {"-"}, "repo": {helperImage}}
	body, err := d.do(ctx, http.MethodPost, "/images/create", query, "application/x-tar", bytes.NewReader(make([]byte, 1024)))
	if err != nil {
		return err
	}
	defer body.Close()
	said, err := io.ReadAll(io.LimitReader(body, 64<<10)) // until it is done
	if err == nil && bytes.Contains(said, []byte(`"errorDetail"`)) {
		err = errors.New(strings.TrimSpace(string(said)))
	}
	return err
}

// Close removes what helpers there are, those of a process that was killed included.
func (d *Docker) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	err := errors.Join(d.removeHelpers(ctx), d.remove(ctx, "/images/"+helperImage))
	d.http.CloseIdleConnections()
	if err != nil {
		return hint.With(fmt.Errorf("removing the image %s at %s: %w", helperImage, d.Socket, err), "it has no content: remove it at leisure")
	}
	return nil
}

func (d *Docker) removeHelpers(ctx context.Context) error {
	filter, err := json.Marshal(map[string][]string{"label": {helperLabel}})
	if err != nil {
		return err
	}
	var left []Container
	err = d.get(ctx, "/containers/json", url.Values{"all": {"1"}, "filters": {string(filter)}}, &left)
	for _, c := range left {
		if slices.Contains(slices.Collect(maps.Keys(c.Labels)), helperLabel) && c.State == "created" {
			err = errors.Join(err, d.remove(ctx, "/containers/"+c.ID))
		}
	}
	return err
}

// remove deletes something; what is not there is no error.
func (d *Docker) remove(ctx context.Context, path string) error {
	body, err := d.do(ctx, http.MethodDelete, path, nil, "", nil)
	var status *statusError
	if errors.As(err, &status) && status.code == http.StatusNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	return body.Close()
}
