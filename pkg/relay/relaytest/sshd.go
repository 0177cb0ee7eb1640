// Package relaytest is the guest's half of a relay's connection, for tests: an SSH server in
// the test's own process, which can be slow, frozen, killed or another server.
//
// It must not know the relay.
package relaytest

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"
)

// SSHD is an SSH server that connects to unix sockets and does nothing else.
type SSHD struct {
	// Addr is host:port, Key the file of the only key that may log in, HostKey that of the
	// public key that the server has at first.
	Addr, Key, HostKey string
	// Sockets says where a socket of the guest really is; one that is not in it is where its
	// name says.
	Sockets map[string]string
	// Frozen means that what arrives is not read any more.
	Frozen atomic.Bool

	t    testing.TB
	user ssh.PublicKey

	mu       sync.Mutex
	host     func() (ssh.Signer, error)
	greet    func(conn net.Conn) bool // whether to go on with a connection; nil means yes
	conns    map[*heldConn]bool
	accepted int
	logins   int
	refused  atomic.Int64
}

// NewSSHD serves until the test ends; it keeps its key in dir.
func NewSSHD(t testing.TB, dir string) *SSHD {
	t.Helper()
	public, private := newKey(t)
	text, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	s := &SSHD{t: t, Key: filepath.Join(dir, "user"), user: public, conns: map[*heldConn]bool{}}
	if err := os.WriteFile(s.Key, pem.EncodeToMemory(text), 0o600); err != nil {
		t.Fatal(err)
	}
	signer := s.NewHostKey()
	s.HostKey = filepath.Join(dir, "host_key")
	if err := os.WriteFile(s.HostKey, ssh.MarshalAuthorizedKey(signer.PublicKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Addr = listener.Addr().String()
	t.Cleanup(func() {
		listener.Close()
		s.Kill()
	})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go s.serve(&heldConn{Conn: conn, frozen: &s.Frozen, closed: make(chan struct{})})
		}
	}()
	return s
}

// NewHostKey changes the server's key, and tells no client.
func (s *SSHD) NewHostKey() ssh.Signer {
	s.t.Helper()
	_, private := newKey(s.t)
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		s.t.Fatal(err)
	}
	s.TakeHostKey(func() (ssh.Signer, error) { return signer, nil })
	return signer
}

// TakeHostKey has the server ask for its key at each connection.
func (s *SSHD) TakeHostKey(from func() (ssh.Signer, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.host = from
}

// Greeting sets what decides whether to go on with a connection; nil takes every one.
func (s *SSHD) Greeting(f func(net.Conn) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.greet = f
}

// Count is how many connections were accepted, and how many logged in.
func (s *SSHD) Count() (accepted, logins int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted, s.logins
}

// Kill breaks every connection.
func (s *SSHD) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		conn.Close()
	}
}

func newKey(t testing.TB) (ssh.PublicKey, ed25519.PrivateKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return key, private
}

// heldConn is a connection that can be frozen.
type heldConn struct {
	net.Conn
	frozen *atomic.Bool
	closed chan struct{}
	once   sync.Once
}

func (c *heldConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.frozen.Load() {
		<-c.closed
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *heldConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func (s *SSHD) serve(conn *heldConn) {
	s.mu.Lock()
	s.accepted++
	s.conns[conn] = true
	greet, hostKey := s.greet, s.host
	s.mu.Unlock()
	defer func() {
		conn.Close()
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
	}()
	if greet != nil && !greet(conn) {
		return
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(s.user.Marshal()) {
			return nil, errors.New("who is that")
		}
		return &ssh.Permissions{}, nil
	}}
	host, err := hostKey()
	if err != nil {
		return
	}
	config.AddHostKey(host)
	client, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.logins++
	s.mu.Unlock()
	go s.listen(client, requests)
	for c := range channels {
		go s.connect(c)
	}
}

// connect does as OpenSSH does with direct-streamlocal@openssh.com.
func (s *SSHD) connect(c ssh.NewChannel) {
	var to struct {
		Path     string
		Reserved string
		Unused   uint32
	}
	if c.ChannelType() != "direct-streamlocal@openssh.com" || ssh.Unmarshal(c.ExtraData(), &to) != nil {
		_ = c.Reject(ssh.Prohibited, "only sockets")
		return
	}
	if really, ok := s.Sockets[to.Path]; ok {
		to.Path = really
	}
	conn, err := net.Dial("unix", to.Path)
	if err != nil {
		s.refused.Add(1)
		_ = c.Reject(ssh.ConnectionFailed, "open failed")
		return
	}
	defer conn.Close()
	channel, requests, err := c.Accept()
	if err != nil {
		return
	}
	closed := make(chan struct{})
	go func() {
		ssh.DiscardRequests(requests) // until the client closes both halves
		close(closed)
	}()
	splice(channel, conn, closed)
}

// Open is how many connections there are.
func (s *SSHD) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Refused is how many streams went to a socket on which no process listens.
func (s *SSHD) Refused() int64 { return s.refused.Load() }

// listen does as OpenSSH does with streamlocal-forward@openssh.com: it listens until the connection ends.
func (s *SSHD) listen(client *ssh.ServerConn, requests <-chan *ssh.Request) {
	for r := range requests {
		var at struct{ Path string }
		if r.Type != "streamlocal-forward@openssh.com" || ssh.Unmarshal(r.Payload, &at) != nil {
			_ = r.Reply(false, nil)
			continue
		}
		where := at.Path
		if really, ok := s.Sockets[where]; ok {
			where = really
		}
		_ = os.Remove(where) // StreamLocalBindUnlink
		l, err := net.Listen("unix", where)
		_ = r.Reply(err == nil, nil)
		if err != nil {
			continue
		}
		go func() {
			_ = client.Wait()
			l.Close()
		}()
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go forward(client, at.Path, conn)
			}
		}()
	}
}

// forward hands a connection to the one who asked for the socket at path.
func forward(client *ssh.ServerConn, path string, conn net.Conn) {
	defer conn.Close()
	channel, requests, err := client.OpenChannel("forwarded-streamlocal@openssh.com", ssh.Marshal(struct{ Path, Reserved string }{Path: path}))
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	splice(channel, conn, nil)
}

// splice copies both ways. Once the client has closed the channel and all that it sent is written, the connection is closed as a whole, as OpenSSH
// does (chan_rcvd_oclose in its nchan.c).
func splice(channel ssh.Channel, conn net.Conn, closed <-chan struct{}) {
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(conn, channel)
		_ = conn.(*net.UnixConn).CloseWrite()
		if closed != nil {
			go func() {
				<-closed
				conn.Close()
			}()
		}
	})
	_, _ = io.Copy(channel, conn)
	_ = channel.CloseWrite()
	both.Wait()
	_ = channel.Close()
}
