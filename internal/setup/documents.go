package setup

import "strings"

// Documents are the policies of a plan as the AWS CLI takes them, each on one line; "" for those that a
// chain has not.
type Documents struct {
	Trust, Permissions               string // of the role that goes to Redshift
	GatewayTrust, GatewayPermissions string // of who the gateway is in AWS
	Actor                            string // of the gateway's application in Identity Center
}

// Documents gives the policies one by one, for somebody who mends one of them. The ARN of a workgroup is
// known to AWS alone, so that the workgroups of the region stand for it.
func (p *Plan) Documents() Documents {
	d := Documents{Trust: p.line(p.role(isPeople).Trust), Permissions: p.line(p.role(isPeople).Permissions)}
	gateway := p.role(isGateway)
	d.GatewayTrust, d.GatewayPermissions = p.line(gateway.Trust), p.line(gateway.Permissions)
	if len(p.Foreign.Statements) > 0 {
		d.GatewayPermissions = p.line(p.Foreign)
	}
	if p.Secret != nil { // the gateway goes to Redshift by itself
		d.Trust, d.Permissions = d.GatewayTrust, d.GatewayPermissions
	}
	if p.Center != nil && p.Center.Application != "" {
		d.Actor = p.actorPolicy()
	}
	return d
}

func (p *Plan) line(policy Policy) string {
	if len(policy.Statements) == 0 {
		return ""
	}
	return strings.NewReplacer(
		workgroupReference, p.arn("redshift-serverless", p.Warehouse.Region, "workgroup/*"), applicationReference, p.Warehouse.Identity.Application,
	).Replace(encode(policy))
}
