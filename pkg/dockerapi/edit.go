package dockerapi

import (
	"bytes"
	"io"
	"net/http"
)

// mostBody is the largest body of a request that is looked at, in bytes.
const mostBody = 8 << 20

// edit changes the body of a request that makes a container or a volume. Where nothing changes, the body is the same bytes.
func (d *Door) edit(w http.ResponseWriter, r *http.Request, path string) error {
	e := edits{path: d.config.Path, gateway: d.config.Gateway}
	var change func(map[string]any) (bool, error)
	switch {
	case r.Method != http.MethodPost:
	case path == "/containers/create" && (e.path != nil || e.gateway):
		change = e.container
	case path == "/volumes/create" && e.path != nil:
		change = e.volume
	}
	if change == nil {
		return nil
	}
	body, err := readBody(w, r, mostBody)
	if err != nil {
		return err
	}
	body, err = rewrite(body, change)
	if err != nil {
		return &statusError{http.StatusBadRequest, err}
	}
	r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	return nil
}
