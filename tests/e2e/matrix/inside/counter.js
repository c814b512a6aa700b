// The same server as counter.py: /add does one step, /state says "steps digest file sound", /ticks how often the timer
// and the worker thread went round. SIGTERM ends it with 37.
const http = require('http')
const fs = require('fs')
const { createHash } = require('crypto')
const { Worker } = require('worker_threads')

const file = fs.openSync('/srv/number', 'w+')
const shared = new Int32Array(new SharedArrayBuffer(4))
new Worker(`
  const { workerData } = require('worker_threads')
  setInterval(() => Atomics.add(workerData, 0, 1), 20)
`, { eval: true, workerData: shared })
let timer = 0
setInterval(() => { timer += 1 }, 20)

let steps = 0
let chain = Buffer.alloc(0)
const garbage = new Array(1000)
function eight (number) {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(number))
  return bytes
}
function link (before, number) {
  return createHash('sha256').update(before).update(eight(number)).digest()
}
function add () {
  steps += 1
  chain = link(chain, steps)
  garbage[steps % garbage.length] = Buffer.alloc(10000, steps)
  fs.writeSync(file, eight(steps), 0, 8, 0)
  return String(steps)
}
function state () {
  let again = Buffer.alloc(0)
  for (let number = 1; number <= steps; number++) again = link(again, number)
  const bytes = Buffer.alloc(8)
  fs.readSync(file, bytes, 0, 8, 0)
  const inFile = Number(bytes.readBigUInt64BE())
  const sound = again.equals(chain) && inFile === steps
  return `${steps} ${chain.toString('hex')} ${inFile} ${sound ? 'True' : 'False'}`
}
const answers = { '/add': add, '/state': state, '/ticks': () => String(Math.min(timer, Atomics.load(shared, 0))) }
http.createServer({ keepAliveTimeout: 600000 }, (request, response) => response.end(answers[request.url]()))
  .listen(8000, '0.0.0.0', () => console.log('serving'))
process.on('SIGTERM', () => { console.log('ended'); process.exit(37) })
