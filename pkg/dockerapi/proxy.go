package dockerapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// statusError is an error that a client is told with this status.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// transport speaks to the daemon in the version of HTTP that the client speaks.
type transport struct{ http1, http2 *http.Transport }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.ProtoMajor == 2 {
		return t.http2.RoundTrip(r)
	}
	return t.http1.RoundTrip(r)
}

// proxy passes on what is no stream. No connection to the daemon is kept: on one that the daemon has just closed, a request with a body would be lost.
func (d *Door) proxy(serving context.Context) *httputil.ReverseProxy {
	var version1, version2 http.Protocols
	version1.SetHTTP1(true)
	version2.SetUnencryptedHTTP2(true)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return d.connect(ctx, serving) }
	through := func(p http.Protocols) *http.Transport {
		return &http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true, Protocols: &p}
	}
	return &httputil.ReverseProxy{
		// It takes the headers out by which proxies tell whom they speak for, and adds none.
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", "docker"
			p.Out.URL.RawQuery = p.In.URL.RawQuery
		},
		Transport:     transport{through(version1), through(version2)},
		FlushInterval: -1,
		ErrorLog:      log.New(debugWriter{d.config.Log}, "", 0),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() != nil {
				panic(http.ErrAbortHandler) // the client has gone, or the server ends: an answer would be one to another question
			}
			answer(w, noAnswer(err))
		},
	}
}

// noAnswer is what a client is told when the daemon has not answered. What is already said is kept.
func noAnswer(err error) error {
	var said *statusError
	if errors.As(err, &said) {
		return said
	}
	return &statusError{http.StatusBadGateway, hint.With(fmt.Errorf("asking the Docker daemon: %w", err), "the daemon may have ended; try again")}
}

// answer writes an error in Docker's form (ErrorResponse in the API's description).
func answer(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	status, body := errorBody(err)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func errorBody(err error) (status int, body []byte) {
	status = http.StatusInternalServerError
	var said *statusError
	if errors.As(err, &said) {
		status = said.status
	}
	body, _ = json.Marshal(map[string]string{"message": hint.Format(err.Error(), hint.Of(err))})
	return status, append(body, '\n')
}

// readBody reads a body of at most so many bytes.
func readBody(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, &statusError{http.StatusRequestEntityTooLarge, fmt.Errorf("the body of %s %s is larger than %d MiB", r.Method, r.URL.Path, most>>20)}
	case err != nil:
		return nil, &statusError{http.StatusBadRequest, fmt.Errorf("reading the body of %s %s: %w", r.Method, r.URL.Path, err)}
	}
	return body, nil
}
