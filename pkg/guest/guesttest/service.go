package guesttest

import (
	"io"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/guest"
)

var serviceCases = []testCase{
	{"DialUnknown", dialUnknown},
	{"Dial", dial},
}

func dialUnknown(t *testing.T, s *suite) {
	conn, err := s.guest.Dial(s.context(t), guest.Service("guesttest-no-such-service"))
	if err == nil {
		_ = conn.Close()
		t.Error("dialling a service that there is not succeeded")
	}
}

// Preface and an empty SETTINGS frame are what an HTTP/2 client says first (RFC 9113,
// sections 3.4 and 6.5); the server's SETTINGS frame answers, whatever it serves.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"

func dial(t *testing.T, s *suite) {
	if !s.Engine {
		t.Skip("Target.Engine is not set")
	}
	for _, service := range []guest.Service{guest.Containerd, guest.BuildKit} {
		conn, err := s.guest.Dial(s.context(t), service)
		if err != nil {
			t.Errorf("dialling %s: %v", service, err)
			continue
		}
		if err := conn.SetDeadline(time.Now().Add(s.deadline())); err != nil {
			t.Errorf("%s: setting a deadline: %v", service, err)
		}
		frame := make([]byte, 9)
		if _, err := io.WriteString(conn, preface); err != nil {
			t.Errorf("%s: writing: %v", service, err)
		} else if _, err := io.ReadFull(conn, frame); err != nil || frame[3] != 4 {
			t.Errorf("%s answers % x, %v; want a SETTINGS frame", service, frame, err)
		}
		if err := conn.Close(); err != nil {
			t.Errorf("%s: closing: %v", service, err)
		}
	}
}
