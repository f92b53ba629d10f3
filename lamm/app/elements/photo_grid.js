// A grid of thumbnails. Few are in the page at first; the others come as one scrolls.
const FIRST = 24, STEP = 120;

export default {
  props: { photos: Array, base: String },
  emits: ["open", "act"],
  data: () => ({ shown: FIRST }),
  template: `
    <div class="photos" :class="{ long: shown > ${FIRST} }" role="list">
      <div v-for="photo in photos.slice(0, shown)" :key="photo.file" class="photo" role="listitem">
        <button type="button" :title="photo.title" :aria-label="photo.title" @click="$emit('open', photo.file)">
          <img :src="base + '/thumbnail/' + photo.file" alt="" loading="lazy" decoding="async">
        </button>
        <span v-if="photo.note" class="note">{{ photo.note }}</span>
        <button v-if="photo.action" type="button" class="act" @click="$emit('act', photo.file)">{{ photo.action }}</button>
      </div>
      <button v-if="shown < photos.length" ref="more" type="button" class="more" @click="more">
        {{ photos.length - shown }} more
      </button>
    </div>`,
  methods: {
    more() { this.shown += STEP; },
    watch() {
      this.observer?.disconnect();
      if (this.shown <= FIRST || !this.$refs.more) return; // the first step is the user's
      this.observer = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && this.more());
      this.observer.observe(this.$refs.more);
    },
  },
  updated() { this.watch(); },
  beforeUnmount() { this.observer?.disconnect(); },
};
