// What read.py does, with hyparquet: node hyparquet.mjs LAKE < wanted, from a folder where that is installed.
//
// hyparquet makes numbers of decimals and milliseconds of timestamps.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { parquetMetadata, parquetRead } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'

const lake = process.argv[2]

/** The rows of one file, as objects. */
async function rows(path) {
  const bytes = readFileSync(path)
  const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)
  const names = parquetMetadata(file).schema.slice(1).map(column => column.name)
  let found = []
  await parquetRead({ file, compressors, onComplete: rows => { found = rows } })
  return found.map(row => Object.fromEntries(names.map((name, index) => [name, row[index]])))
}

const total = (values, of) => values.reduce((sum, value) => sum + of(value), 0)
const bytes = text => Buffer.from(text, 'utf8')

/** As in read.py. */
function figures(kind, values) {
  const some = values.filter(value => value !== null && value !== undefined)
  const told = { kind: kind === 'decimal' ? 'float' : kind, nulls: values.length - some.length }
  if (!some.length) return told
  if (kind === 'string') return { ...told, bytes: total(some, v => bytes(v).length), sum: total(some, v => crc32(bytes(v))) }
  if (kind === 'int') return { ...told, sum: String(some.reduce((sum, v) => sum + BigInt(v), 0n)) }
  if (kind === 'bool') return { ...told, sum: total(some, Number) }
  if (kind === 'float' || kind === 'decimal') return { ...told, sum: String(total(some, Number)) }
  const unit = kind === 'date' ? v => BigInt(v.getTime() / 86_400_000) : v => BigInt(v.getTime()) * 1000n
  const numbers = some.map(unit)
  const least = numbers.reduce((a, b) => a < b ? a : b), greatest = numbers.reduce((a, b) => a > b ? a : b)
  return { ...told, first: String(least), last: String(greatest), sum: String(numbers.reduce((a, b) => a + b, 0n)) }
}

const wanted = JSON.parse(readFileSync(0, 'utf8')), found = {}
for (const [table, { files, types }] of Object.entries(wanted)) {
  try {
    const all = (await Promise.all(files.map(file => rows(join(lake, file))))).flat()
    const columns = Object.entries(types).map(([name, kind]) => [name, figures(kind, all.map(row => row[name]))])
    found[table] = { rows: all.length, columns: Object.fromEntries(columns) }
  } catch (error) {
    found[table] = { error: String(error).slice(0, 500) }
  }
}
console.log(JSON.stringify(found))
