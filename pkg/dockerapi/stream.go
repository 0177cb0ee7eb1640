package dockerapi

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/linnet-dev/linnet/pkg/host"
)

const (
	// mostStreamBody is the largest body of a request that becomes a stream, in bytes: exec's start has a few options.
	mostStreamBody = 1 << 20
	// drainTime is how long what a client has sent may take to be written once it is gone.
	drainTime = 500 * time.Millisecond
)

// Streams are not ReverseProxy's. It drops what a client has sent right behind the head of its request, which its server has read already; when one
// direction fails to be written it ends both, so that the last output of a container is lost whose standard input is not read to its end; and
// it has no stream without a switch of protocols.

// isStream reports whether a request's connection may become a stream in both directions: where the client asks for a switch of protocols,
// and where the daemon answers older clients with a stream that is none. What has a large body is no such request.
func isStream(r *http.Request, path string) bool {
	if r.ProtoMajor != 1 {
		return false
	}
	parts := strings.Split(path, "/") // "", "exec", ID, "start"
	known := r.Method == http.MethodPost && len(parts) == 4
	if known && parts[1] == "exec" && parts[3] == "start" {
		return true
	}
	attach := known && parts[1] == "containers" && parts[3] == "attach"
	return (attach || wantsUpgrade(r.Header)) && r.ContentLength >= 0 && r.ContentLength <= mostStreamBody
}

func wantsUpgrade(h http.Header) bool {
	for _, line := range h["Connection"] {
		for word := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(word), "upgrade") {
				return h.Get("Upgrade") != ""
			}
		}
	}
	return false
}

// stream passes such a request on, on the client's own connection. A client that half-closes early is a client still: its request's context,
// which ends then, is not asked.
func (d *Door) stream(serving context.Context, w http.ResponseWriter, r *http.Request) {
	body, err := readBody(w, r, mostStreamBody)
	if err != nil {
		answer(w, err)
		return
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	defer context.AfterFunc(serving, cancel)()
	daemon, err := d.connect(ctx, serving)
	if err != nil {
		answer(w, err)
		return
	}
	defer daemon.Close()
	client, read, err := http.NewResponseController(w).Hijack()
	if err != nil {
		answer(w, err)
		return
	}
	defer client.Close()
	// Of the server's reader only what it has read: it would end the request with the client's first half-close.
	early, _ := read.Reader.Peek(read.Reader.Buffered())
	defer context.AfterFunc(ctx, func() { client.Close(); daemon.Close() })()

	gone, stop := host.UntilHangup(ctx, client)
	defer stop()
	answered := bufio.NewReader(daemon)
	abandon := context.AfterFunc(gone, func() { daemon.Close() })
	head, err := ask(daemon, answered, r, body)
	switch {
	case err != nil:
		_ = errorResponse(noAnswer(err)).Write(client)
	case !isSwitched(head):
		head.Close = true
		_ = head.Write(client)
	default:
		abandon()
		if writeHead(client, head) == nil {
			splice(ctx, gone, end{client, io.MultiReader(bytes.NewReader(early), client)}, end{daemon, answered})
		}
	}
}

// ask sends a request and reads the head of its answer.
func ask(daemon io.Writer, answered *bufio.Reader, r *http.Request, body []byte) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.Body, out.ContentLength, out.TransferEncoding = http.NoBody, int64(len(body)), nil
	if len(body) > 0 {
		out.Body = io.NopCloser(bytes.NewReader(body))
	}
	out.URL.Host = "docker" // for a request without Host, as HTTP/1.0 has it
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Expect"} {
		out.Header.Del(name)
	}
	if _, has := out.Header["User-Agent"]; !has {
		out.Header.Set("User-Agent", "") // else net/http adds its own
	}
	if err := out.Write(daemon); err != nil {
		return nil, err
	}
	for {
		head, err := http.ReadResponse(answered, out)
		if err != nil || head.StatusCode >= http.StatusOK || head.StatusCode == http.StatusSwitchingProtocols {
			return head, err
		}
	}
}

// isSwitched reports whether a stream follows the head of an answer. Without a switch of protocols it is one when it says so and has no length.
func isSwitched(head *http.Response) bool {
	if head.StatusCode == http.StatusSwitchingProtocols {
		return true
	}
	kind := head.Header.Get("Content-Type")
	return head.StatusCode == http.StatusOK && head.ContentLength < 0 && len(head.TransferEncoding) == 0 &&
		(kind == "application/vnd.docker.raw-stream" || kind == "application/vnd.docker.multiplexed-stream")
}

func writeHead(client io.Writer, head *http.Response) error {
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s %s\r\n", head.Proto, head.Status)
	err := head.Header.Write(&text)
	text.WriteString("\r\n")
	if err == nil {
		_, err = client.Write(text.Bytes())
	}
	return err
}

// errorResponse is what answer writes, for a connection that is no longer the server's.
func errorResponse(err error) *http.Response {
	status, body := errorBody(err)
	return &http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Close: true,
		Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
	}
}

// end is one end of a stream: its connection, and what is read of it, where some may have been read before.
type end struct {
	net.Conn
	reader io.Reader
}

// splice carries both directions until both have ended. A half-close travels. An end that is gone altogether ends the other one, after what it
// sent has been written; clientGone says so of the client. To a socket, one that has half-closed is gone when the other direction has ended, too:
// what it has sent is still on its way then.
func splice(ctx, clientGone context.Context, client, daemon end) {
	daemonGone, stop := host.UntilHangup(ctx, daemon.Conn)
	defer stop()
	in, out := make(chan struct{}), make(chan struct{})
	defer context.AfterFunc(clientGone, func() {
		_ = daemon.SetWriteDeadline(time.Now().Add(drainTime))
		<-in
		daemon.Close()
	})()
	defer context.AfterFunc(daemonGone, func() {
		<-out
		client.Close()
	})()
	go pass(daemon, client, in)
	pass(client, daemon, out)
	<-in
}

// pass carries one direction. What is no longer taken is no longer accepted: its sender gets an error instead of waiting for ever.
func pass(to, from end, ended chan<- struct{}) {
	defer close(ended)
	if _, err := io.Copy(to.Conn, from.reader); err != nil {
		if half, ok := from.Conn.(interface{ CloseRead() error }); ok {
			_ = half.CloseRead()
		}
	}
	if half, ok := to.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	} else {
		to.Close()
	}
}
