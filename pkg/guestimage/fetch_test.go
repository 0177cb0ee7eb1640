package guestimage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// server serves a packed form, and notes what it was asked for.
type server struct {
	*httptest.Server
	mu     sync.Mutex
	ranges []string
}

// serve starts one; answer, if it is not nil, may answer in the place of the file and then returns true. n counts from 1.
func serve(t *testing.T, data []byte, answer func(n int, w http.ResponseWriter, r *http.Request) bool) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.ranges = append(s.ranges, r.Header.Get("Range"))
		n := len(s.ranges)
		s.mu.Unlock()
		w.Header().Set("ETag", `"one"`)
		if answer != nil && answer(n, w, r) {
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) source(d Digest) Source { return Source{URL: s.URL + "/image", Digest: d} }

// cut sends a part of what is asked for, with the headers of all of it, and ends the connection.
func cut(t *testing.T, w http.ResponseWriter, r *http.Request, data []byte, most int) {
	t.Helper()
	from := 0
	if text := r.Header.Get("Range"); text != "" {
		if _, err := fmt.Sscanf(text, "bytes=%d-", &from); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(data)-1, len(data)))
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(data)-from))
	if from > 0 {
		w.WriteHeader(http.StatusPartialContent)
	}
	_, _ = w.Write(data[from:min(from+most, len(data))])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func TestADownloadThatIsCutTenTimesGoesOn(t *testing.T) {
	data, d := pack(t)
	srv := serve(t, data, func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n <= 10 {
			cut(t, w, r, data, 20<<10)
		}
		return false
	})
	s := store(t)
	var notes []string
	if err := s.Fetch(t.Context(), srv.source(d), func(text string) { notes = append(notes, text) }); err != nil {
		t.Fatal(told(err))
	}
	if !s.Has(d) || len(left(t, s)) != 1 {
		t.Errorf("left: %q", left(t, s))
	}
	if len(srv.ranges) != 11 || srv.ranges[0] != "" || srv.ranges[10] != fmt.Sprintf("bytes=%d-", 200<<10) {
		t.Errorf("asked for %q", srv.ranges)
	}
	all := strings.Join(notes, "\n")
	if !strings.Contains(all, "trying again (the connection was cut)") || !strings.Contains(all, "0.3 MiB of 0.3 MiB") || !strings.Contains(all, "unpacking it") {
		t.Errorf("told: %s", all)
	}
}

// What has come stays for the next command.
func TestTheNextFetchGoesOn(t *testing.T) {
	data, d := pack(t)
	var works atomic.Bool
	srv := serve(t, data, func(n int, w http.ResponseWriter, r *http.Request) bool {
		switch {
		case n == 1:
			cut(t, w, r, data, 100<<10)
		case !works.Load():
			http.Error(w, "later", http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	s := store(t)
	err := s.Fetch(t.Context(), srv.source(d), nil)
	want := "after 0.1 MiB: the server answers 503 Service Unavailable\nhint: try again: it goes on from there; or `linnet vm image import FILE`"
	if told(err) != want {
		t.Errorf("%s\nwant %s", told(err), want)
	}
	all, err := s.List()
	if err != nil || len(all) != 1 || !all[0].Partial || all[0].Digest != d {
		t.Errorf("listed: %+v, %v", all, err)
	}
	works.Store(true)
	if err := s.Fetch(t.Context(), srv.source(d), nil); err != nil {
		t.Fatal(told(err))
	}
	if got := srv.ranges[len(srv.ranges)-1]; got != fmt.Sprintf("bytes=%d-", 100<<10) {
		t.Errorf("asked for %q", got)
	}
	asked := len(srv.ranges)
	if err := s.Fetch(t.Context(), srv.source(d), nil); err != nil || len(srv.ranges) != asked {
		t.Errorf("what is there was fetched again (%v)", err)
	}
}

// A server that has another file by now, takes no ranges, or has a shorter one: it begins anew.
func TestADownloadBeginsAnewWhereItCannotGoOn(t *testing.T) {
	data, d := pack(t)
	for name, second := range map[string]func(w http.ResponseWriter, r *http.Request){
		"another file": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"two"`)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		},
		"no ranges": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) },
		"another part": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 5-%d/%d", len(data)-1, len(data)))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(data[5:])
		},
		"a shorter file": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestedRangeNotSatisfiable) },
	} {
		t.Run(name, func(t *testing.T) {
			srv := serve(t, data, func(n int, w http.ResponseWriter, r *http.Request) bool {
				if n == 1 {
					cut(t, w, r, bytes.Repeat([]byte("old "), len(data)/4), 50<<10)
				}
				if n == 2 {
					second(w, r)
				}
				return n == 2
			})
			s := store(t)
			if err := s.Fetch(t.Context(), srv.source(d), nil); err != nil {
				t.Error(told(err))
			}
			if srv.ranges[1] != fmt.Sprintf("bytes=%d-", 50<<10) {
				t.Errorf("asked for %q", srv.ranges)
			}
		})
	}
}

func TestAServersAnswersAreTold(t *testing.T) {
	data, d := pack(t)
	other := sum([]byte("other"))
	var plain *server
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request)
		digest Digest
		tries  int
		want   string
	}{
		"not found": {
			func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, d, 1,
			"the server answers 404 Not Found\nhint: set vm.image to where the image is; or `linnet vm image import FILE`",
		},
		"always too busy": {
			func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }, d, 5,
			"the server answers 429 Too Many Requests\nhint: see that the network and its proxy (HTTPS_PROXY) work; or `linnet vm image import FILE`",
		},
		"another file": {
			nil, other, 1,
			"its digest is " + string(d) + ", and " + string(other) + " is expected; nothing of it is used\nhint: take the file that belongs to this linnet; one that you trust is taken by its own digest",
		},
		"too large": {
			func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "5000000000") }, d, 1,
			"it is no image: it has 4768 MiB, and at most 4096 MiB are taken\nhint: take an image that `make image` has made and packed; this one is not used",
		},
		"sent on to http": {
			func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://example.com/image", http.StatusFound)
			}, d, 1,
			"it sends on to another place: http://example.com/image is not reached over https\nhint: use https; http is for this very host alone (127.0.0.1)",
		},
		"sent on for ever": {
			func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/image", http.StatusFound) }, d, 11,
			"it sends on and on\nhint: name the address that it ends at",
		},
	} {
		t.Run(name, func(t *testing.T) {
			plain = serve(t, data, func(_ int, w http.ResponseWriter, r *http.Request) bool {
				if c.answer != nil {
					c.answer(w, r)
				}
				return c.answer != nil
			})
			s := store(t)
			err := s.Fetch(t.Context(), plain.source(c.digest), nil)
			if told(err) != c.want {
				t.Errorf("%s\nwant %s", told(err), c.want)
			}
			if len(plain.ranges) != c.tries {
				t.Errorf("asked %d times", len(plain.ranges))
			}
			if names := left(t, s); len(names) > 0 {
				t.Errorf("%q is left", names)
			}
		})
	}
}

func TestRedirectsAreFollowed(t *testing.T) {
	data, d := pack(t)
	end := serve(t, data, nil)
	begin := serve(t, nil, func(_ int, w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, end.URL+"/elsewhere", http.StatusFound)
		return true
	})
	s := store(t)
	if err := s.Fetch(t.Context(), begin.source(d), nil); err != nil || !s.Has(d) {
		t.Error(told(err))
	}
}

func TestAServerThatIsNotThereIsTold(t *testing.T) {
	data, d := pack(t)
	srv := serve(t, data, nil)
	srv.Close()
	s := store(t)
	err := s.Fetch(t.Context(), srv.source(d), nil)
	address := strings.TrimPrefix(srv.URL, "http://")
	want := "dial tcp " + address + ": connect: connection refused\nhint: see that the network and its proxy (HTTPS_PROXY) work; or `linnet vm image import FILE`"
	if told(err) != want {
		t.Errorf("%s\nwant %s", told(err), want)
	}
}

func TestACertificateThatIsNotTrustedIsToldAtOnce(t *testing.T) {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	srv.Config.ErrorLog = nil
	t.Cleanup(srv.Close)
	s := store(t)
	s.net.pause = time.Hour
	err := s.Fetch(t.Context(), Source{URL: srv.URL, Digest: sum(nil)}, nil)
	if err == nil || !strings.HasSuffix(told(err), "certificate signed by unknown authority\nhint: a proxy's own certificate belongs to the system's, or into SSL_CERT_FILE") {
		t.Error(told(err))
	}
}

// A server that stops sending is given up on, and asked for the rest.
func TestASilentServerIsAskedAgain(t *testing.T) {
	data, d := pack(t)
	srv := serve(t, data, func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n == 1 {
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			_, _ = w.Write(data[:1000])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		}
		return false
	})
	s := store(t)
	s.net.stall = 200 * time.Millisecond
	var notes []string
	if err := s.Fetch(t.Context(), srv.source(d), func(text string) { notes = append(notes, text) }); err != nil {
		t.Fatal(told(err))
	}
	if !strings.Contains(strings.Join(notes, "\n"), "trying again (nothing came for 200ms)") {
		t.Errorf("told: %q", notes)
	}
}

func TestADownloadThatHasNoRoomIsNotBegun(t *testing.T) {
	data, d := pack(t)
	srv := serve(t, data, nil)
	s := store(t)
	s.free = func(string) (int64, bool) { return 10 << 20, true }
	err := s.Fetch(t.Context(), srv.source(d), nil)
	want := s.layout.Images() + " has too little space: an image takes 64 MiB, and 10 MiB are free\nhint: free some space there, or set LINNET_HOME to a directory on another disk"
	if told(err) != want {
		t.Errorf("%s\nwant %s", told(err), want)
	}
	if names := left(t, s); len(names) > 0 {
		t.Errorf("%q is left", names)
	}
}

func TestOfManyAtOnceOneFetches(t *testing.T) {
	data, d := pack(t)
	waiting := make(chan struct{})
	srv := serve(t, data, func(_ int, _ http.ResponseWriter, _ *http.Request) bool { <-waiting; return false })
	first := store(t)
	var all sync.WaitGroup
	told := make(chan string, 1)
	for range 8 {
		s := Open(first.layout) // as another process
		all.Go(func() {
			err := s.Fetch(t.Context(), srv.source(d), func(text string) {
				if strings.HasPrefix(text, "waiting") {
					select {
					case told <- text:
					default:
					}
				}
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	if text := <-told; text != "waiting for another command that has the images" {
		t.Error(text)
	}
	close(waiting)
	all.Wait()
	if len(srv.ranges) != 1 {
		t.Errorf("fetched %d times", len(srv.ranges))
	}
}

func TestAFetchEndsWithItsContext(t *testing.T) {
	data, d := pack(t)
	ctx, cancel := context.WithCancel(t.Context())
	srv := serve(t, data, func(_ int, w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		_, _ = w.Write(data[:len(data)/2])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	})
	s := store(t)
	err := s.Fetch(ctx, srv.source(d), func(string) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if all, err := s.List(); err != nil || len(all) != 1 || !all[0].Partial {
		t.Errorf("what has come is not kept: %+v, %v", all, err)
	}
}

// What a process that was killed has left is no image, and in no other process's way.
func TestWhatAKilledProcessLeftIsReplaced(t *testing.T) {
	data, d := pack(t)
	s := store(t)
	if err := errors.Join(os.MkdirAll(s.unfinished(d)+"/kernel", 0o700), os.MkdirAll(s.Dir(d), 0o700), os.WriteFile(s.layout.ImagePart(d.Hex()), data[:500], 0o600)); err != nil {
		t.Fatal(err)
	}
	if s.Has(d) {
		t.Error("an empty directory is taken for an image")
	}
	if err := s.Fetch(t.Context(), serve(t, data, nil).source(d), nil); err != nil {
		t.Fatal(told(err))
	}
	if names := left(t, s); len(names) != 1 || !s.Has(d) {
		t.Errorf("%q is left", names)
	}
}
