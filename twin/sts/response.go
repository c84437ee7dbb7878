package sts

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"net/http"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

type credentials struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      string
}

type assumedRoleUser struct {
	Arn           string
	AssumedRoleID string `xml:"AssumedRoleId"`
}

type webIdentityResult struct {
	XMLName          xml.Name        `xml:"AssumeRoleWithWebIdentityResult"`
	Subject          string          `xml:"SubjectFromWebIdentityToken"`
	Audience         string          `xml:"Audience"`
	Provider         string          `xml:"Provider"`
	SourceIdentity   string          `xml:"SourceIdentity,omitempty"`
	PackedPolicySize int             `xml:"PackedPolicySize"`
	AssumedRoleUser  assumedRoleUser `xml:"AssumedRoleUser"`
	Credentials      credentials     `xml:"Credentials"`
}

type assumeRoleResult struct {
	XMLName          xml.Name        `xml:"AssumeRoleResult"`
	SourceIdentity   string          `xml:"SourceIdentity,omitempty"`
	PackedPolicySize int             `xml:"PackedPolicySize"`
	AssumedRoleUser  assumedRoleUser `xml:"AssumedRoleUser"`
	Credentials      credentials     `xml:"Credentials"`
}

type callerIdentityResult struct {
	XMLName xml.Name `xml:"GetCallerIdentityResult"`
	Arn     string
	UserID  string `xml:"UserId"`
	Account string
}

// responseDocument wraps a result; its element is named for the action.
type responseDocument struct {
	XMLName   xml.Name
	Namespace string `xml:"xmlns,attr"`
	Result    any
	RequestID string `xml:"ResponseMetadata>RequestId"`
}

func writeResponse(w http.ResponseWriter, result any, requestID string) {
	var name string
	switch result.(type) {
	case webIdentityResult:
		name = "AssumeRoleWithWebIdentityResponse"
	case assumeRoleResult:
		name = "AssumeRoleResponse"
	case callerIdentityResult:
		name = "GetCallerIdentityResponse"
	}
	writeXML(w, http.StatusOK, responseDocument{
		XMLName: xml.Name{Local: name}, Namespace: namespace, Result: result, RequestID: requestID,
	})
}

// packedSize is the percentage of the room for session tags that is used. AWS packs them in a
// way it does not publish; here it is a plain count against 50 tags of full size.
func packedSize(tags map[string]string) int {
	const room = maxTags * (maxTagKey + maxTagValue)
	used := 0
	for key, value := range tags {
		used += len(key) + len(value)
	}
	return (used*100 + room - 1) / room
}

// issue makes keys for a session and registers them.
func (s *Server) issue(c sigv4.Credential, life time.Duration) (credentials, error) {
	c.AccessKeyID = "ASIATWIN" + base32.StdEncoding.EncodeToString(randomBytes(8))[:12]
	c.SecretAccessKey = base64.StdEncoding.EncodeToString(randomBytes(30))
	c.SessionToken = "TWIN//////////" + base64.StdEncoding.EncodeToString(randomBytes(192))
	c.Expires = s.config.Now().Add(life).Truncate(time.Second)
	if err := s.config.Registry.Add(c); err != nil {
		return credentials{}, err
	}
	return credentials{
		AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken,
		Expiration: c.Expires.UTC().Format(time.RFC3339),
	}, nil
}

func randomBytes(n int) []byte {
	bytes := make([]byte, n)
	_, _ = rand.Read(bytes) // never fails; see crypto/rand
	return bytes
}

// newRequestID looks like AWS's: a random UUID.
func newRequestID() string {
	b := randomBytes(16)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	text := hex.EncodeToString(b)
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}
