package diskusage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/linnet-dev/linnet/pkg/build/store"
	"github.com/linnet-dev/linnet/pkg/guest"
)

// Gather asks a guest's engine, with the usual snapshotter where none is named. cache is the build cache of linnet's own commands.
// Clients of Docker's API are counted where docker is set, which starts dockerd; an error of that alone is returned beside what else was found, as
// *DockerError.
func Gather(ctx context.Context, g guest.Guest, snapshotter string, docker bool, cache Cache) (*Usage, error) {
	dial, drop, err := store.Dialer(ctx, g, guest.Containerd)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("passthrough:///containerd", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(dial))
	if err != nil {
		drop()
		return nil, err
	}
	defer conn.Close()
	if snapshotter == "" {
		snapshotter = "overlayfs"
	}
	e := newEngine(conn, snapshotter)
	u := &Usage{Caches: []Cache{cache}}
	if u.Images, err = e.images(ctx); err != nil {
		return nil, err
	}
	containers, inUse, err := e.containers(ctx)
	if err != nil {
		return nil, err
	}
	u.Containers = containers
	if u.Volumes, err = volumes(ctx, g, inUse); err != nil {
		return nil, err
	}
	if docker {
		if failed := u.addDocker(ctx, g); failed != nil {
			err = &DockerError{failed}
		}
	}
	u.finish()
	return u, err
}

// DockerError is why clients of Docker's API are not counted.
type DockerError struct{ err error }

func (e *DockerError) Error() string {
	return "counting what clients of Docker's API have: " + e.err.Error()
}
func (e *DockerError) Unwrap() error { return e.err }

// volumes are those of linnet's own commands.
func volumes(ctx context.Context, g guest.Guest, inUse map[string]bool) (all []Volume, err error) {
	listed, err := nerdctl(ctx, g, "volume", "ls", "-q")
	names := strings.Fields(listed)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	text, err := nerdctl(ctx, g, append([]string{"volume", "inspect", "--size", "--"}, names...)...)
	if err != nil {
		return nil, err
	}
	var found []struct {
		Name string
		Size int64
	}
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		return nil, fmt.Errorf("reading the volumes' sizes: %w", err)
	}
	for _, v := range found {
		all = append(all, Volume{Side: Linnet, Name: v.Name, Active: inUse[v.Name], Size: v.Size})
	}
	return all, nil
}

func nerdctl(ctx context.Context, g guest.Guest, args ...string) (string, error) {
	var out, errs bytes.Buffer
	err := g.Run(ctx, guest.Process{Argv: append([]string{"nerdctl"}, args...), Stdout: &out, Stderr: &errs})
	if err != nil {
		return "", fmt.Errorf("looking at the volumes: %w: %s", err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

// addDocker adds what dockerd has of its own. Its images are containerd's.
func (u *Usage) addDocker(ctx context.Context, g guest.Guest) error {
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return g.Dial(ctx, guest.Docker)
	}}}
	// In this version of the API an answer has everything by itself, and not sums.
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/v1.44/system/df?type=container&type=volume&type=build-cache", nil)
	if err != nil {
		return err
	}
	answer, err := c.Do(r)
	if failed := (*url.Error)(nil); errors.As(err, &failed) {
		return failed.Err // the address is ours, and tells a user nothing
	}
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		var said struct{ Message string }
		_ = json.Unmarshal(text, &said)
		return errors.New(said.Message)
	}
	return u.readDocker(text)
}

// readDocker reads docker's answer (https://docs.docker.com/reference/api/engine/version/v1.44/, GET /system/df).
func (u *Usage) readDocker(text []byte) error {
	var has struct {
		Containers []struct {
			ID, Image, ImageID, State string
			Names                     []string
			SizeRw                    int64
		}
		Volumes []struct {
			Name      string
			UsageData struct{ Size, RefCount int64 }
		}
		BuildCache []struct {
			Size          int64
			InUse, Shared bool
		}
	}
	if err := json.Unmarshal(text, &has); err != nil {
		return fmt.Errorf("reading its answer: %w", err)
	}
	for _, c := range has.Containers {
		u.Containers = append(u.Containers, Container{
			Side: Docker, ID: c.ID, Name: strings.TrimPrefix(strings.Join(c.Names, ","), "/"), Image: c.Image, image: c.ImageID,
			Active: c.State == "running" || c.State == "paused" || c.State == "restarting", Size: c.SizeRw,
		})
	}
	for _, v := range has.Volumes {
		u.Volumes = append(u.Volumes, Volume{Side: Docker, Name: v.Name, Active: v.UsageData.RefCount > 0, Size: max(0, v.UsageData.Size)})
	}
	cache := Cache{Side: Docker}
	for _, r := range has.BuildCache {
		cache.Add(r.Size, r.InUse, r.Shared)
	}
	u.Caches = append(u.Caches, cache)
	return nil
}
