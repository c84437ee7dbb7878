package acceptance

import (
	"net"
	"sync"
)

// A tunnel carries TCP connections and can be cut.
type tunnel struct {
	listener net.Listener
	dial     func() (net.Conn, error)
	group    sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]bool
	cut  bool
	sent func([]byte) // sees what clients send; nil for nobody
}

func startTunnel(listener net.Listener, dial func() (net.Conn, error)) *tunnel {
	t := &tunnel{listener: listener, dial: dial, open: map[net.Conn]bool{}}
	t.group.Go(func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			t.group.Go(func() { t.carry(connection) })
		}
	})
	return t
}

// setCut ends all connections, and lets none through until it is mended.
func (t *tunnel) setCut(cut bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cut = cut
	for connection := range t.open {
		if cut {
			_ = connection.Close()
		}
	}
}

func (t *tunnel) watch(sent func([]byte)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent = sent
}

func (t *tunnel) close() {
	_ = t.listener.Close()
	t.setCut(true)
	t.group.Wait()
}

// keep says whether the connection may be used.
func (t *tunnel) keep(connection net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open[connection] = true
	return !t.cut
}

func (t *tunnel) drop(connection net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, connection)
	_ = connection.Close()
}

func (t *tunnel) carry(client net.Conn) {
	defer t.drop(client)
	if !t.keep(client) {
		return
	}
	server, err := t.dial()
	if err != nil {
		return
	}
	defer t.drop(server)
	if !t.keep(server) {
		return
	}
	t.group.Go(func() {
		defer server.Close()
		t.pass(client, server, true)
	})
	t.pass(server, client, false)
}

func (t *tunnel) pass(from, to net.Conn, fromClient bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			t.mu.Lock()
			sent := t.sent
			t.mu.Unlock()
			if fromClient && sent != nil {
				sent(buffer[:n])
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
