package oauth

import (
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// maxCachedApps bounds the memory of the cache. Only apps that exist are in it, so nobody outside
// can fill it.
const maxCachedApps = 1000

// appCache keeps apps for cacheTime: each flow needs its app three times.
type appCache struct {
	mu   sync.Mutex
	apps map[string]cachedApp
}

type cachedApp struct {
	app   *grant.App
	until time.Time
}

// get returns nil for what is not known. The app must not be changed.
func (c *appCache) get(id string, now time.Time) *grant.App {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry, ok := c.apps[id]
	// A clock that was set back must not make an entry live longer.
	if !ok || !now.Before(entry.until) || entry.until.Sub(now) > cacheTime {
		return nil
	}
	return entry.app
}

// put keeps an app that was looked up from a time on.
func (c *appCache) put(app *grant.App, lookedUp time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.apps == nil || len(c.apps) >= maxCachedApps {
		c.apps = make(map[string]cachedApp)
	}
	c.apps[app.ID] = cachedApp{app, lookedUp.Add(cacheTime)}
}
