package twin

import (
	_ "embed"
	"net/http"
	"strings"

	"github.com/shiftgrant/shiftgrant/twin/idp"
	"github.com/shiftgrant/shiftgrant/twin/page"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

//go:embed front.html
var frontHTML string

// frontView is the front page: who there is, where things are, and what to try.
type frontView struct {
	URL, Issuer, Password                        string
	ClientID, RoleARN, Region, Cluster, Database string
	People                                       []frontPerson
	First                                        sigv4.Credential

	Trusts                                        bool // the gateway's tokens, for which there are roles then
	ApplicationARN, SecretARN, KeyARN             string
	GatewayRoleARN, PeopleRoleARN, PartnerRoleARN string
	PartnerAccount, ExternalID                    string
	Gateway, Partner                              sigv4.Credential
	WireAddress                                   func() string
}

type frontPerson struct {
	idp.Person
	Keys sigv4.Credential
}

func (p frontPerson) InGroups() string { return strings.Join(p.Groups, ", ") }

func newFrontPage(url string, trusts bool, wireAddress func() string) (http.Handler, error) {
	front, err := page.Parse(frontHTML)
	if err != nil {
		return nil, err
	}
	view := frontView{
		URL: url, Issuer: url + IdPPath, Password: Password, ClientID: ClientID,
		RoleARN: RoleARN, Region: Region, Cluster: Cluster, Database: Database,
		First: DeveloperKeys(people[0].Username), Trusts: trusts,
		ApplicationARN: ApplicationARN, SecretARN: SecretARN, KeyARN: SigningKeyARN,
		GatewayRoleARN: GatewayRoleARN, PeopleRoleARN: PeopleRoleARN, PartnerRoleARN: PartnerRoleARN,
		PartnerAccount: PartnerAccount, ExternalID: ExternalID, Gateway: GatewayKeys(), Partner: PartnerKeys(),
		WireAddress: wireAddress,
	}
	for _, person := range people {
		view.People = append(view.People, frontPerson{person, DeveloperKeys(person.Username)})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		front.Write(w, http.StatusOK, view)
	}), nil
}
