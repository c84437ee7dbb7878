package rotation

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
)

// A proxy carries TCP connections and lets a test see each piece before it goes on. What the test
// returns goes on in its place.
type proxy struct {
	listener net.Listener
	dial     func() (net.Conn, error)
	group    sync.WaitGroup

	mu       sync.Mutex
	open     map[net.Conn]bool
	request  func(*carried, []byte) []byte // nil passes everything on
	response func(*carried, []byte) []byte
}

// carried is one connection.
type carried struct {
	mu     sync.Mutex
	marked bool
}

// mark says that what comes back on this connection is what the test waits for.
func (c *carried) mark() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.marked = true
}

func (c *carried) isMarked() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.marked
}

func startProxy(t *testing.T, listener net.Listener, dial func() (net.Conn, error)) *proxy {
	t.Helper()
	p := &proxy{listener: listener, dial: dial, open: map[net.Conn]bool{}}
	p.group.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.group.Go(func() { p.carry(client) })
		}
	})
	t.Cleanup(func() {
		if err := listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		p.mu.Lock()
		for connection := range p.open {
			_ = connection.Close()
		}
		p.mu.Unlock()
		p.group.Wait()
	})
	return p
}

// watch changes what the test does to the pieces.
func (p *proxy) watch(request, response func(*carried, []byte) []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.request, p.response = request, response
}

func (p *proxy) keep(connection net.Conn, open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if open {
		p.open[connection] = true
	} else {
		delete(p.open, connection)
		_ = connection.Close()
	}
}

func (p *proxy) carry(client net.Conn) {
	p.keep(client, true)
	defer p.keep(client, false)
	server, err := p.dial()
	if err != nil {
		return
	}
	p.keep(server, true)
	defer p.keep(server, false)
	c := &carried{}
	p.group.Go(func() {
		defer server.Close()
		p.pass(client, server, func(piece []byte) []byte {
			p.mu.Lock()
			watching := p.request
			p.mu.Unlock()
			if watching == nil {
				return piece
			}
			return watching(c, piece)
		})
	})
	p.pass(server, client, func(piece []byte) []byte {
		p.mu.Lock()
		watching := p.response
		p.mu.Unlock()
		if watching == nil {
			return piece
		}
		return watching(c, piece)
	})
}

// pass ends when one side does, or when the test lets less than all go on: half a request and
// half an answer are the end of a connection.
func (p *proxy) pass(from, to net.Conn, change func([]byte) []byte) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			piece := change(buffer[:n])
			if _, err := to.Write(piece); err != nil || len(piece) < n {
				_ = from.Close()
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func freeListener(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

func portOf(listener net.Listener) string {
	return fmt.Sprint(listener.Addr().(*net.TCPAddr).Port)
}
