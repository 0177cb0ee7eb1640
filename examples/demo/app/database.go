package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// database is one connection to Redis. Its protocol is small enough to speak by hand, and so
// this project needs no module but its own.
type database struct {
	mu      sync.Mutex
	address string
	conn    net.Conn
	in      *bufio.Reader
}

// connect tries until the database answers, for as long as patience lasts.
func connect(ctx context.Context, address string, patience time.Duration) (*database, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	db := &database{address: address}
	for waiting := false; ; waiting = true {
		_, err := db.do("PING")
		if err == nil {
			return db, nil
		}
		if !waiting {
			log.Print("guestbook: waiting for the database: ", err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the database at %s does not answer: %w", address, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// do sends one command and returns its answer, a list of one where Redis says one thing. A
// connection that broke is made anew by the next command.
func (d *database) do(words ...string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn == nil {
		conn, err := net.DialTimeout("tcp", d.address, 5*time.Second)
		if err != nil {
			return nil, err
		}
		d.conn, d.in = conn, bufio.NewReader(conn)
	}
	answer, err := d.exchange(words)
	if refused := redisError(""); err != nil && !errors.As(err, &refused) {
		d.conn.Close()
		d.conn = nil
	}
	return answer, err
}

func (d *database) exchange(words []string) ([]string, error) {
	if err := d.conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return nil, err
	}
	var command strings.Builder
	fmt.Fprintf(&command, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&command, "$%d\r\n%s\r\n", len(w), w)
	}
	if _, err := io.WriteString(d.conn, command.String()); err != nil {
		return nil, err
	}
	return d.read()
}

// redisError is what Redis itself says to a command that it refuses.
type redisError string

func (e redisError) Error() string { return "the database says: " + string(e) }

// read takes in one answer: https://redis.io/docs/latest/develop/reference/protocol-spec/
func (d *database) read() ([]string, error) {
	line, err := d.in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return nil, errors.New("the database sent an empty line")
	}
	kind, rest := line[0], line[1:]
	switch kind {
	case '+', ':':
		return []string{rest}, nil
	case '-':
		return nil, redisError(rest)
	}
	n, err := strconv.Atoi(rest)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the database sent %q", line)
	case n < 0:
		return nil, nil
	case kind == '$':
		text := make([]byte, n+len("\r\n"))
		_, err := io.ReadFull(d.in, text)
		return []string{string(text[:n])}, err
	case kind != '*':
		return nil, fmt.Errorf("the database sent %q", line)
	}
	var list []string
	for range n {
		item, err := d.read()
		if err != nil {
			return nil, err
		}
		list = append(list, item...)
	}
	return list, nil
}
