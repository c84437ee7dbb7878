package sigv4

// A Person is somebody in IAM Identity Center. Keys that were made with the person's identity
// context act on behalf of them.
type Person struct {
	UserID   string // the id in the identity store
	UserName string
	Groups   []string
	// MayConnect says that the context came from an application with the scope redshift:connect.
	MayConnect bool
}
