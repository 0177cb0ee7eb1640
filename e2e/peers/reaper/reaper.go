package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// reaper waits for the end of the tests that are connected to it, then removes what they left.
type reaper struct {
	docker *http.Client
	first  time.Duration // to wait for the first connection
	again  time.Duration // to wait for another after the last one has gone
	log    io.Writer

	mu      sync.Mutex
	filters []string // each in the form of the API, without repetitions
}

// serve takes connections until none has been there for the time that it waits, or ctx ends, and then removes what the filters find. It
// closes l.
func (r *reaper) serve(ctx context.Context, l net.Listener) error {
	accepted, gone := make(chan net.Conn), make(chan struct{})
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed below
			}
			select {
			case accepted <- c:
			case <-done:
				c.Close()
				return
			}
		}
	}()
	fmt.Fprintf(r.log, "reaper: Started, on %s\n", l.Addr())
	open := 0
	wait := time.NewTimer(r.first)
	for waiting := true; waiting; {
		select {
		case c := <-accepted:
			open++
			wait.Stop()
			go func() {
				r.listen(c)
				select {
				case gone <- struct{}{}:
				case <-done:
				}
			}()
		case <-gone:
			if open--; open == 0 {
				wait.Reset(r.again)
			}
		case <-wait.C:
			waiting = false
		case <-ctx.Done():
			waiting = false
		}
	}
	return errors.Join(l.Close(), r.removeAll(context.WithoutCancel(ctx)))
}

// listen takes the filters of one connection until it ends. A line is filters in the form of a URL's query: label=KEY%3DVALUE&...
func (r *reaper) listen(c net.Conn) {
	defer c.Close()
	for lines := bufio.NewScanner(c); lines.Scan(); {
		query, err := url.ParseQuery(lines.Text())
		if err != nil || len(query) == 0 {
			fmt.Fprintf(r.log, "reaper: no filters: %q\n", lines.Text())
			continue
		}
		text, err := json.Marshal(map[string][]string(query))
		if err != nil {
			return // strings alone cannot fail
		}
		r.mu.Lock()
		if !slices.Contains(r.filters, string(text)) {
			r.filters = append(r.filters, string(text))
		}
		r.mu.Unlock()
		fmt.Fprintf(r.log, "reaper: will remove %s\n", text)
		if _, err := io.WriteString(c, "ACK\n"); err != nil {
			return
		}
	}
}

// kind is one kind of things that Docker's API lists and removes.
type kind struct {
	name   string
	list   string // the path, with a query
	remove func(item) string
}

// item is what is needed of each thing that a list has.
type item struct {
	ID     string `json:"Id"`
	Name   string // of a volume
	Labels map[string]string
}

// kinds are in the order in which one may still be in use by the one before.
var kinds = []kind{
	{"containers", "/containers/json?all=1", func(i item) string { return "/containers/" + i.ID + "?force=1&v=1" }},
	{"networks", "/networks?", func(i item) string { return "/networks/" + i.ID }},
	{"volumes", "/volumes?", func(i item) string { return "/volumes/" + url.PathEscape(i.Name) + "?force=1" }},
	{"images", "/images/json?all=0", func(i item) string { return "/images/" + i.ID + "?force=1" }},
}

// removeAll removes what each filter finds. It goes on after an error, and returns all of them.
func (r *reaper) removeAll(ctx context.Context) error {
	r.mu.Lock()
	filters := slices.Clone(r.filters)
	r.mu.Unlock()
	var errs []error
	for _, k := range kinds {
		removed := 0
		for _, f := range filters {
			items, err := r.find(ctx, k, f)
			errs = append(errs, err)
			for _, i := range items {
				if isReaper(i) {
					continue
				}
				if err := r.ask(ctx, http.MethodDelete, k.remove(i), nil); err != nil {
					errs = append(errs, err)
					continue
				}
				removed++
			}
		}
		fmt.Fprintf(r.log, "reaper: removed %d %s\n", removed, k.name)
	}
	return errors.Join(errs...)
}

// isReaper reports whether a container is the one that this runs in, or another test's: it ends by itself.
func isReaper(i item) bool {
	return i.Labels["org.testcontainers.ryuk"] == "true" || i.Labels["org.testcontainers.reaper"] == "true"
}

func (r *reaper) find(ctx context.Context, k kind, filter string) ([]item, error) {
	path := k.list + "&filters=" + url.QueryEscape(filter)
	if k.name == "volumes" {
		var list struct{ Volumes []item }
		err := r.ask(ctx, http.MethodGet, path, &list)
		return list.Volumes, err
	}
	var list []item
	err := r.ask(ctx, http.MethodGet, path, &list)
	return list, err
}

// ask makes one request, and reads the answer into what is given. What is not there any more needs not be removed.
func (r *reaper) ask(ctx context.Context, method, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, "http://docker"+path, nil)
	if err != nil {
		return err
	}
	answer, err := r.docker.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	switch {
	case method == http.MethodDelete && answer.StatusCode == http.StatusNotFound:
		return nil
	case answer.StatusCode >= http.StatusBadRequest:
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
		return fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, text)
	case into == nil:
		return nil
	}
	return json.NewDecoder(answer.Body).Decode(into)
}
