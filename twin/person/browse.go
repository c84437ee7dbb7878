package person

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// Browse opens a page and goes on as the person would: follows redirects, signs in, and gives the
// answer, until a page asks for nothing more. It gives the words of that page; one that says that
// something failed is an error.
func (p *Person) Browse(ctx context.Context, address string, answer Answer) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", fmt.Errorf("open page: %w", err)
	}
	for range maxSteps {
		page, err := p.open(request)
		if err != nil {
			return "", err
		}
		if page.location != nil {
			if request, err = http.NewRequestWithContext(ctx, http.MethodGet, page.location.String(), nil); err != nil {
				return "", fmt.Errorf("follow redirect: %w", err)
			}
			continue
		}
		next, err := p.fill(ctx, page, answer)
		switch {
		case err == nil:
			request = next
		case page.status == http.StatusOK:
			return strings.Join(strings.Fields(text(page.document)), " "), nil
		default:
			return "", err
		}
	}
	return "", fmt.Errorf("browse as %s: still asked after %d pages", p.Username, maxSteps)
}
