package faults

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// A faultProxy passes TCP connections on to a server, and can be told to do it badly. What it is
// told holds for connections that are open, too.
type faultProxy struct {
	url      string
	server   string
	listener net.Listener

	mu      sync.Mutex
	changed chan struct{} // closed at the next change
	fault   proxyFault
	open    map[net.Conn]bool
	closed  bool
	running sync.WaitGroup
}

// proxyFault is what a proxy does wrong. The zero value is nothing.
type proxyFault struct {
	refuse   bool          // connections end at once
	hold     bool          // nothing is passed on, and no connection ends: half open
	delay    time.Duration // before each piece of an answer
	cutAfter int64         // bytes of answers on a connection, after which it is reset; 0 for never
}

// startProxy starts a proxy to the server of a URL.
func startProxy(t testing.TB, server string) *faultProxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &faultProxy{
		url: fmt.Sprintf("http://localhost:%d", listener.Addr().(*net.TCPAddr).Port), server: server[len("http://"):],
		listener: listener, changed: make(chan struct{}), open: map[net.Conn]bool{},
	}
	p.running.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// set changes what goes wrong.
func (p *faultProxy) set(fault proxyFault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = fault
	close(p.changed)
	p.changed = make(chan struct{})
}

// reset ends all connections that are open, as a network device that forgot them.
func (p *faultProxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for connection := range p.open {
		if tcp, ok := connection.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = connection.Close()
	}
}

func (p *faultProxy) now() (fault proxyFault, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault, p.changed
}

func (p *faultProxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.set(proxyFault{})
	p.reset()
	p.running.Wait()
}

func (p *faultProxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		refuse, closed := p.fault.refuse, p.closed
		p.mu.Unlock()
		if refuse || closed {
			_ = client.Close()
			continue
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.keep(client, server)
		p.running.Go(func() { p.pass(client, server, false) })
		p.running.Go(func() { p.pass(server, client, true) })
	}
}

func (p *faultProxy) keep(connections ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, connection := range connections {
		p.open[connection] = true
		if p.closed {
			_ = connection.Close()
		}
	}
}

// pass copies one direction, and ends both when it ends.
func (p *faultProxy) pass(from, to net.Conn, isAnswer bool) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, connection := range []net.Conn{from, to} {
			_ = connection.Close()
			delete(p.open, connection)
		}
	}()
	buffer, passed := make([]byte, 16<<10), int64(0)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			fault := p.waitWhileHeld()
			if isAnswer && fault.delay > 0 {
				time.Sleep(fault.delay)
			}
			piece := buffer[:n]
			cut := isAnswer && fault.cutAfter > 0 && passed+int64(n) >= fault.cutAfter
			if cut {
				piece = piece[:max(fault.cutAfter-passed, 0)]
			}
			if _, err := to.Write(piece); err != nil || cut {
				return
			}
			passed += int64(n)
		}
		if errors.Is(err, io.EOF) || err != nil {
			return
		}
	}
}

// waitWhileHeld returns when pieces may pass.
func (p *faultProxy) waitWhileHeld() proxyFault {
	for {
		fault, changed := p.now()
		if !fault.hold {
			return fault
		}
		<-changed
	}
}
