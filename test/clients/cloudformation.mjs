// Holds CloudFormation templates to AWS's own specification of resources, as the CDK ships it.
//
//   node cloudformation.mjs FILE…
import { readFile } from 'node:fs/promises';
import { loadAwsServiceSpec } from '@aws-cdk/aws-service-spec';
import { parse } from 'yaml';

const intrinsics = ['Ref', 'GetAtt', 'Sub', 'Equals', 'If', 'Not', 'Join'];
const tags = intrinsics.flatMap((name) => [
  { tag: `!${name}`, resolve: (text) => ({ [name]: text }) },
  { tag: `!${name}`, collection: 'seq', resolve: (list) => ({ [name]: list.toJSON() }) },
]);
const isIntrinsic = (value) => typeof value === 'object' && value !== null && Object.keys(value).length === 1 && (intrinsics.includes(Object.keys(value)[0]) || Object.keys(value)[0].startsWith('Fn::'));

const database = await loadAwsServiceSpec();
const faults = [];

// check compares a value with a type of the specification.
function check(value, type, at) {
  if (isIntrinsic(value)) return;
  const wrong = (wanted) => faults.push(`${at}: is not ${wanted}`);
  switch (type.type) {
    case 'string': if (typeof value !== 'string') wrong('a string'); return;
    case 'integer': if (!Number.isInteger(value)) wrong('a whole number'); return;
    case 'number': if (typeof value !== 'number') wrong('a number'); return;
    case 'boolean': if (typeof value !== 'boolean') wrong('true or false'); return;
    case 'json': if (typeof value !== 'object') wrong('an object'); return;
    case 'array':
      if (!Array.isArray(value)) return wrong('a list');
      return value.forEach((one, i) => check(one, type.element, `${at}[${i}]`));
    case 'map':
      if (typeof value !== 'object') return wrong('a map');
      return Object.entries(value).forEach(([key, one]) => check(one, type.element, `${at}.${key}`));
    case 'ref': return checkProperties(value, database.get('typeDefinition', type.reference.$ref).properties, at);
    case 'union': return; // any of several types: the properties above are what goes wrong
    default: faults.push(`${at}: the type ${type.type} of the specification is not known here`);
  }
}

function checkProperties(values, properties, at) {
  if (typeof values !== 'object' || values === null) return faults.push(`${at}: is not an object`);
  for (const [name, value] of Object.entries(values)) {
    if (!properties[name]) faults.push(`${at}.${name}: there is no such property`);
    else check(value, properties[name].type, `${at}.${name}`);
  }
  for (const [name, property] of Object.entries(properties)) {
    if (property.required && !(name in values)) faults.push(`${at}.${name}: is missing`);
  }
}

const sections = ['AWSTemplateFormatVersion', 'Description', 'Parameters', 'Conditions', 'Resources', 'Outputs'];
const attributes = ['Type', 'Properties', 'Condition', 'DependsOn', 'DeletionPolicy', 'UpdateReplacePolicy'];
let resources = 0;

for (const file of process.argv.slice(2)) {
  const template = parse(await readFile(file, 'utf8'), { customTags: tags });
  for (const name of Object.keys(template)) if (!sections.includes(name)) faults.push(`${file}: ${name}: there is no such section`);
  const known = new Set([...Object.keys(template.Parameters ?? {}), ...Object.keys(template.Resources)]);
  for (const [name, resource] of Object.entries(template.Resources)) {
    const at = `${file}: ${name}`;
    resources++;
    for (const key of Object.keys(resource)) if (!attributes.includes(key)) faults.push(`${at}.${key}: there is no such attribute`);
    if (resource.Condition && !template.Conditions?.[resource.Condition]) faults.push(`${at}: the condition ${resource.Condition} is not there`);
    if (resource.DependsOn && !known.has(resource.DependsOn)) faults.push(`${at}: what it depends on is not there`);
    const [found] = database.lookup('resource', 'cloudFormationType', 'equals', resource.Type);
    if (!found) faults.push(`${at}: AWS has no ${resource.Type}`);
    else checkProperties(resource.Properties, found.properties, at);
  }
  const refer = (value) => {
    if (typeof value !== 'object' || value === null) return;
    if (typeof value.Ref === 'string' && !known.has(value.Ref)) faults.push(`${file}: Ref to ${value.Ref}, which is not there`);
    if (typeof value.GetAtt === 'string' && !known.has(value.GetAtt.split('.')[0])) faults.push(`${file}: GetAtt of ${value.GetAtt}, which is not there`);
    Object.values(value).forEach(refer);
  };
  refer(template);
}

if (faults.length > 0 || resources === 0) {
  console.error(faults.join('\n') || 'no resource was seen');
  process.exit(1);
}
console.log(`ok: ${resources} resources`);
