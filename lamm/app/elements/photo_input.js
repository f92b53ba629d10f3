// Takes photos: dropped folders and files, chosen ones, and the camera's. Each is sent by itself; nothing leaves the machine.
const AT_ONCE = 3, MOST_REFUSED = 20;
for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());

async function filesBelow(entry, path) {
  if (entry.isFile) {
    const file = await new Promise((done, fail) => entry.file(done, fail));
    return [{ file, path: path + file.name }];
  }
  const reader = entry.createReader(), found = [];
  for (;;) {
    const some = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!some.length) return found;
    for (const one of some) found.push(...(await filesBelow(one, path + entry.name + "/")));
  }
}

// The class of a file is its folder: the one that was dropped, or the one below if that holds folders only.
function withClasses(files) {
  const visible = files.filter(({ path }) => !path.split("/").some((part) => part.startsWith(".")));
  const flat = new Set(visible.map(({ path }) => path.split("/")).filter((parts) => parts.length === 2).map((parts) => parts[0]));
  return visible.map(({ file, path }) => {
    const parts = path.split("/");
    const to = parts.length === 1 ? null : flat.has(parts[0]) ? parts[0] : parts[1];
    return { file, to: to && to.replaceAll("_", " ") };
  });
}

export default {
  props: {
    url: String, into: String, loose: String, label: String, hint: String, folders: Boolean, camera: Boolean,
    accept: { default: "image/*" }, limit: Number, zone: String, single: Boolean,
  },
  emits: ["done"],
  data: () => ({ total: 0, sent: 0, over: false, filming: false, shots: 0, trouble: "", stopped: false, unsent: "" }),
  template: `
    <div class="photo-input" :class="{ over, big: hint, busy: total }">
      <p v-if="hint" class="hint"><b>{{ label }}</b><br>{{ hint }}</p>
      <div class="row">
        <button v-if="folders" type="button" @click="$refs.folder.click()"><i class="material-icons">create_new_folder</i>Folder</button>
        <button type="button" :aria-label="hint ? null : label" @click="$refs.files.click()">
          <i class="material-icons">{{ single ? 'upload_file' : 'add_photo_alternate' }}</i>{{ single ? 'Choose file' : 'Photos' }}
        </button>
        <button v-if="camera" type="button" @click="film"><i class="material-icons">photo_camera</i>Camera</button>
      </div>
      <p v-if="unsent" role="alert">{{ unsent }} <button type="button" @click="unsent = ''">Close</button></p>
      <div v-if="total" class="sending" role="status">
        <progress :value="sent" :max="total"></progress> {{ sent }} of {{ total }}
        <button type="button" @click="stopped = true">Stop</button>
      </div>
      <input ref="folder" type="file" webkitdirectory multiple hidden @change="chosen">
      <input ref="files" type="file" :accept="accept" :multiple="!single" hidden @change="chosen">
      <dialog ref="camera" class="camera" @close="endFilm">
        <video ref="video" autoplay playsinline muted @loadeddata="filming = Boolean(stream)"></video>
        <p v-if="trouble" role="alert">{{ trouble }}</p>
        <div class="row">
          <button type="button" :disabled="!filming" @click="shoot"><i class="material-icons">photo_camera</i>Take photo</button>
          <button type="button" @click="$refs.camera.close()">Done<span v-if="shots"> ({{ shots }})</span></button>
        </div>
      </dialog>
    </div>`,
  mounted() {
    const before = this.hint && this.folders && JSON.parse(sessionStorage.getItem(this.url) || "null");
    if (before) {
      this.unsent = `${before.stored} of ${before.total} photos were stored before the page was left. Drop them again: none comes twice.`;
      this.remember(0, 0);
    }
    this.place = (this.zone && this.$el.closest(this.zone)) || this.$el;
    this.listeners = {
      dragover: (event) => { event.preventDefault(); this.over = true; this.place.classList.add("over"); },
      dragleave: () => { this.over = false; this.place.classList.remove("over"); },
      drop: (event) => this.dropped(event),
    };
    for (const [kind, listener] of Object.entries(this.listeners)) this.place.addEventListener(kind, listener);
  },
  beforeUnmount() {
    this.endFilm();
    for (const [kind, listener] of Object.entries(this.listeners)) this.place.removeEventListener(kind, listener);
  },
  methods: {
    async dropped(event) {
      event.preventDefault();
      this.listeners.dragleave();
      const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
      const files = entries.length
        ? (await Promise.all(entries.map((entry) => filesBelow(entry, "")))).flat()
        : [...event.dataTransfer.files].map((file) => ({ file, path: file.name }));
      await this.send(withClasses(files));
    },
    async chosen(event) {
      const files = [...event.target.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
      event.target.value = "";
      await this.send(withClasses(files));
    },
    async send(items) {
      if (!items.length) return;
      const batch = crypto.randomUUID?.() ?? String(Math.random());
      const answer = { added: 0, known: 0, refused: 0, reasons: [], classes: [], files: [] };
      if (!this.total) window.addEventListener("beforeunload", this.stay);
      this.total += items.length;
      this.stopped = false;
      const queue = [...items];
      const work = async () => {
        for (let item; !this.stopped && (item = queue.shift()); this.sent += 1) {
          this.remember(answer.added + answer.known, this.total);
          await this.sendOne(item, batch, answer);
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, work));
      this.total = this.sent = 0;
      this.remember(0, 0);
      window.removeEventListener("beforeunload", this.stay);
      this.$emit("done", answer);
    },
    stay(event) { event.preventDefault(); }, // the browser asks before it leaves the page
    // So that a page that is loaded anew, as after the server was killed, says what has not arrived.
    remember(stored, total) {
      if (total) sessionStorage.setItem(this.url, JSON.stringify({ stored, total }));
      else sessionStorage.removeItem(this.url);
    },
    async sendOne({ file, to }, batch, answer) {
      const query = new URLSearchParams({ name: file.name, batch });
      if (this.into) query.set("class", this.into);
      else query.set("to", to || this.loose || "");
      let said;
      if (file.size > this.limit) said = { error: `"${file.name}" has more than ${this.limit >> 20} MiB: make it smaller` };
      else {
        try {
          const response = await fetch(`${this.url}?${query}`, { method: "POST", body: file, headers: { "x-lamm": "1" } });
          said = response.ok ? await response.json() : { error: `"${file.name}": the server said ${response.status}` };
        } catch (error) {
          said = { error: `"${file.name}" could not be sent: is lamm app still running?` };
        }
      }
      if (said.error) {
        answer.refused += 1;
        if (answer.reasons.length < MOST_REFUSED) answer.reasons.push(said.error);
        return;
      }
      answer[said.new === false ? "known" : "added"] += 1;
      answer.files.push(said.file);
      if (said.class && !answer.classes.includes(said.class)) answer.classes.push(said.class);
    },
    async film() {
      this.trouble = "";
      this.shots = 0;
      this.$refs.camera.showModal();
      try {
        if (!navigator.mediaDevices) throw new Error("browsers allow the camera on this machine's own page only");
        this.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
        if (!this.$refs.camera.open) return this.endFilm(); // closed while the browser asked
        this.$refs.video.srcObject = this.stream;
      } catch (error) {
        this.trouble = `The camera can't be used (${error.message}). Allow it in the browser, or choose photos.`;
      }
    },
    async shoot() {
      const video = this.$refs.video, canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
      canvas.getContext("2d").drawImage(video, 0, 0);
      const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
      this.shots += 1;
      await this.send([{ file: new File([blob], `camera ${new Date().toLocaleString()}.jpg`), to: null }]);
    },
    endFilm() {
      this.stream?.getTracks().forEach((track) => track.stop());
      this.stream = null;
      this.filming = false;
    },
  },
};
