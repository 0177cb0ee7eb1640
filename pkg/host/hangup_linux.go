package host

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// UntilHangup returns a context that ends when the peer of a unix socket has closed both halves, whatever of it is still unread (EPOLLHUP in
// epoll_ctl(2)). Reading tells of the first half alone, and a stream that is idle writes nothing. The returned function has to be called.
func UntilHangup(ctx context.Context, conn net.Conn) (context.Context, context.CancelFunc) {
	gone, cancel := context.WithCancel(ctx)
	watch, err := watchHangup(conn)
	if err != nil {
		return gone, cancel // no socket: its end is seen in reading and writing
	}
	raw, err := watch.SyscallConn()
	if err != nil {
		watch.Close()
		return gone, cancel
	}
	context.AfterFunc(gone, func() { watch.Close() })
	go func() {
		// It fails when watch is closed, as gone has ended by then.
		_ = raw.Read(func(fd uintptr) bool {
			var events [1]unix.EpollEvent
			for {
				n, err := unix.EpollWait(int(fd), events[:], 0)
				if !errors.Is(err, unix.EINTR) {
					return n > 0 || err != nil
				}
			}
		})
		cancel()
	}()
	return gone, cancel
}

// watchHangup returns a descriptor that becomes readable with the hangup and at no other time: data wakes nothing.
func watchHangup(conn net.Conn) (*os.File, error) {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	var added error
	err = raw.Control(func(watched uintptr) {
		added = unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, int(watched), &unix.EpollEvent{}) // hangups are always told
	})
	// Only a descriptor that does not block is waited for without a thread.
	if err := errors.Join(err, added, unix.SetNonblock(fd, true)); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "epoll"), nil
}
