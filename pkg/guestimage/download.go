package guestimage

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// network is how servers are reached, and for how long.
type network struct {
	client *http.Client
	// stall is how long a server may send nothing, pause how long a try waits that follows one to which nothing came; it
	// doubles with each.
	stall, pause time.Duration
}

const (
	// mostFailures is how many tries in a row may bring nothing, mostTries how many there are in all.
	mostFailures, mostTries = 5, 100
	// mostRedirects is how often a server may send on.
	mostRedirects = 10
)

func newNetwork() network {
	return network{
		stall: time.Minute, pause: 250 * time.Millisecond,
		client: &http.Client{
			Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, DisableCompression: true,
				DialContext:         (&net.Dialer{Timeout: 30 * time.Second}).DialContext,
				TLSHandshakeTimeout: 30 * time.Second, ResponseHeaderTimeout: time.Minute,
			},
			CheckRedirect: func(r *http.Request, via []*http.Request) error {
				if len(via) > mostRedirects {
					return &finalError{hint.New("it sends on and on", "name the address that it ends at")}
				}
				if err := checkURL(r.URL); err != nil {
					return &finalError{fmt.Errorf("it sends on to another place: %w", err)}
				}
				return nil
			},
		},
	}
}

// finalError is one that another try would not change.
type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

// origin is what a file that has come in part is of.
type origin struct {
	URL string `json:"url"`
	// Validator is the strong ETag or the date by which the server knows the same content again (RFC 9110, 13.1.5).
	Validator string `json:"validator"`
	// Size is the whole one, in bytes; -1 when the server did not say.
	Size int64 `json:"size"`
}

// transfer fetches one file.
type transfer struct {
	network
	url    string
	file   *os.File
	origin string // the path of the origin of what is in file
	note   Note
	room   func(need int64) error
	told   int64 // the last percentage that note was told
}

// run tries until the whole file has come, keeps what has come, and gives up after mostFailures tries that brought nothing.
func (t *transfer) run(ctx context.Context) error {
	failures := 0
	for try := 1; ; try++ {
		before, err := t.file.Seek(0, io.SeekEnd)
		if err != nil {
			return err
		}
		err = t.try(ctx, before)
		var final *finalError
		if err == nil || ctx.Err() != nil {
			return err
		}
		if errors.As(err, &final) {
			return final.error
		}
		if untrusted := (*tls.CertificateVerificationError)(nil); errors.As(err, &untrusted) {
			return hint.With(untrusted, "a proxy's own certificate belongs to the system's, or into SSL_CERT_FILE")
		}
		after, sizeErr := t.file.Seek(0, io.SeekEnd)
		if sizeErr != nil {
			return sizeErr
		}
		if failures++; after > before {
			failures = 0
		}
		if failures == mostFailures || try == mostTries {
			return gaveUp(cause(err), after)
		}
		t.note.tell("trying again (%s)", cause(err))
		if err := t.wait(ctx, failures); err != nil {
			return err
		}
	}
}

// gaveUp is the error of the last try; have is what stays, in bytes.
func gaveUp(why error, have int64) error {
	if have == 0 {
		return hint.With(why, "see that the network and its proxy (HTTPS_PROXY) work; or `linnet vm image import FILE`")
	}
	return hint.With(fmt.Errorf("after %s: %w", sizeText(have), why), "try again: it goes on from there; or `linnet vm image import FILE`")
}

// cause is a failed request's reason without its method and URL.
func cause(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the connection was cut")
	}
	return err
}

func (t *transfer) wait(ctx context.Context, failures int) error {
	if failures == 0 {
		return nil
	}
	timer := time.NewTimer(t.pause << (failures - 1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// try asks once, for the rest of what has come.
func (t *transfer) try(ctx context.Context, have int64) error {
	known := t.known(have)
	if have > 0 && have == known.Size {
		return nil // it had come, and was not used yet
	}
	asking, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	request, err := http.NewRequestWithContext(asking, http.MethodGet, t.url, nil)
	if err != nil {
		return &finalError{err}
	}
	if have > 0 && known.Validator != "" {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		request.Header.Set("If-Range", known.Validator)
	}
	response, err := t.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	at, whole, err := t.accept(response, have)
	if err != nil {
		return err
	}
	if err := t.begin(response, at, whole); err != nil {
		return err
	}
	quiet := time.AfterFunc(t.stall, func() { cancel(fmt.Errorf("nothing came for %s", t.stall)) })
	defer quiet.Stop()
	err = t.copy(response.Body, at, whole, func() { quiet.Reset(t.stall) })
	if why := context.Cause(asking); err != nil && ctx.Err() == nil && why != nil {
		return why
	}
	return err
}

// accept says from where on the answer is, and how large the whole is; -1 when that is unknown.
func (t *transfer) accept(r *http.Response, have int64) (at, whole int64, err error) {
	switch {
	case r.StatusCode == http.StatusOK:
		at, whole = 0, r.ContentLength
	case r.StatusCode == http.StatusPartialContent:
		if at, whole, err = contentRange(r.Header.Get("Content-Range")); err != nil || at != have {
			return 0, 0, errors.Join(errors.New("the server answers with another part than it was asked for"), t.restart())
		}
	case r.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return 0, 0, errors.Join(errors.New("the server has less than what has come"), t.restart())
	case r.StatusCode == http.StatusTooManyRequests || r.StatusCode >= 500:
		return 0, 0, fmt.Errorf("the server answers %s", r.Status)
	default:
		return 0, 0, &finalError{hint.With(fmt.Errorf("the server answers %s", r.Status), "set vm.image to where the image is; or `linnet vm image import FILE`")}
	}
	if whole > mostPacked {
		return 0, 0, &finalError{malformed("it has %s, and at most %s are taken", sizeText(whole), sizeText(mostPacked))}
	}
	return at, whole, nil
}

// contentRange reads "bytes 100-199/200" (RFC 9110, 14.4); whole is -1 for "*".
func contentRange(text string) (at, whole int64, err error) {
	rest, ok := strings.CutPrefix(text, "bytes ")
	first, rest, dash := strings.Cut(rest, "-")
	_, size, slash := strings.Cut(rest, "/")
	if !ok || !dash || !slash {
		return 0, 0, fmt.Errorf("%q is no range", text)
	}
	if at, err = strconv.ParseInt(first, 10, 64); err != nil || size == "*" {
		return at, -1, err
	}
	whole, err = strconv.ParseInt(size, 10, 64)
	return at, whole, err
}

// begin makes the file ready for what comes, and remembers what it is of.
func (t *transfer) begin(r *http.Response, at, whole int64) error {
	if whole >= 0 {
		if err := t.room(whole - at); err != nil {
			return &finalError{err}
		}
	}
	if at == 0 {
		if err := t.restart(); err != nil {
			return &finalError{err}
		}
	}
	text, err := json.Marshal(origin{URL: t.url, Validator: validator(r.Header), Size: whole})
	if err == nil {
		err = host.WriteFile(t.origin, text, 0o600)
	}
	if err != nil {
		return &finalError{err}
	}
	_, err = t.file.Seek(at, io.SeekStart)
	return err
}

func (t *transfer) restart() error { return t.file.Truncate(0) }

func validator(h http.Header) string {
	if tag := h.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		return tag
	}
	return h.Get("Last-Modified")
}

// known is the origin of what has come; another address's, or none that can be read, is of no use.
func (t *transfer) known(have int64) origin {
	var o origin
	text, err := os.ReadFile(t.origin)
	if have == 0 || err != nil || json.Unmarshal(text, &o) != nil || o.URL != t.url {
		return origin{Size: -1}
	}
	return o
}

// copy writes what comes behind what has come; came is called for each piece.
func (t *transfer) copy(body io.Reader, at, whole int64, came func()) error {
	buffer := make([]byte, 256<<10)
	for {
		n, err := body.Read(buffer)
		if n > 0 {
			came()
			if at += int64(n); at > mostPacked {
				return &finalError{malformed("it has more than %s", sizeText(mostPacked))}
			}
			if _, err := t.file.Write(buffer[:n]); err != nil {
				return &finalError{err}
			}
			t.tell(at, whole)
		}
		switch {
		case errors.Is(err, io.EOF) && whole >= 0 && at < whole:
			return io.ErrUnexpectedEOF
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// tell tells each twentieth, or each 16 MiB where the size is unknown: each is a line in a log.
func (t *transfer) tell(at, whole int64) {
	step := int64(16 << 20)
	if whole > 0 {
		step = max(whole/20, 1)
	}
	if now := at / step; now != t.told {
		t.told = now
		if whole > 0 {
			t.note.tell("%s of %s", sizeText(at), sizeText(whole))
		} else {
			t.note.tell("%s", sizeText(at))
		}
	}
}
